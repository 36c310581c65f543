/**
 * Frames between a host agent and a container, over the container's inherited socket (fd 3).
 *
 * A frame is a head of 12 bytes, big-endian, then `extra`, then `payload`:
 *   u8 type · u8 flags · u16 length of extra · u32 id · u32 length of payload
 * The runtimes' bootstraps are free of dependencies and repeat these numbers; test/protocol/frames.test.ts compares them.
 */

export const FRAME_HEAD = 12;

export const FRAME = {
  /** agent → container, once, before any call. extra: JSON LoadExtra. payload: cached data, then code. */
  load: 1,
  /** agent → container. id: number of the call. extra: f64 deadline (epoch ms), then the call id in ASCII. payload: body. */
  call: 2,
  /** agent → container: answer to `request`. id: the request's. flags 1: payload is a JSON FaultData, else bytes. */
  answer: 3,
  /** agent → Python zygote only: fork a child. id: number of the fork. extra: JSON {socket, token}. */
  fork: 4,
  /** agent → container. id: a call that was sent ahead. It is given back with `givenBack`, or runs if it was begun already. */
  takeBack: 5,
  /** container → agent: booted and blank. extra: JSON {runtime, pid}. For a fork {runtime, pid, token}: pid inside the box. */
  ready: 16,
  /** container → agent: code is loaded. extra: JSON {loadMs}. payload: fresh cached data for this code, or nothing. */
  loaded: 17,
  /** container → agent: code cannot be loaded. extra: JSON Thrown. */
  loadFailed: 18,
  /** container → agent. id: the call's. flags 1: payload is JSON, 0: bytes. extra: nothing, or u32 what the run took in µs. */
  result: 19,
  /** container → agent: the handler threw or returned something unusable. id: the call's. extra: JSON Thrown. flags 0: HandlerError, 1: BadResult, or ResultTooLarge when that is its type. */
  failed: 20,
  /** container → agent. id: the call's number, 0 outside a call. flags: LOG_STREAM. payload: UTF-8 text, any number of lines. */
  log: 21,
  /** container → agent: context.call / publish / kv. id: number of the request. extra: JSON ContextRequest. payload: bytes. */
  request: 22,
  /** Python zygote → agent: a fork is over. id: number of the fork. extra: JSON ForkEnd. */
  forkEnded: 23,
  /** container → agent. id: a call that was taken back before it was begun. */
  givenBack: 24,
} as const;

export const LOG_STREAM = { stdout: 0, stderr: 1, log: 2 } as const;

/** What a container is told to load. */
export interface LoadExtra {
  readonly account: string;
  readonly function: string;
  readonly version: number;
  readonly memoryMb: number;
  readonly handler: string;
  readonly environment: Record<string, string>;
  /** Bytes of V8 cached data (Node) before the code in the payload; 0 for none. */
  readonly cachedBytes: number;
  /** Set when the code is a file inside the container rather than in the payload: path of the bundle as the container sees it. */
  readonly file?: string;
}

/** How the process of a fork ended; both null when it never came to be. */
export interface ForkEnd {
  /** Exit code, or null when a signal ended it. */
  readonly code: number | null;
  /** Number of the signal that ended it. */
  readonly signal: number | null;
}

/** An exception as the runtime saw it; the stack is source-mapped where a map exists. */
export interface Thrown {
  readonly type: string;
  readonly message: string;
  readonly stack?: string;
}

/** What a handler asks of its host while call number `call` runs. */
export type ContextRequest =
  | { readonly kind: "call"; readonly call: number; readonly function: string }
  | { readonly kind: "publish"; readonly call: number; readonly subject: string }
  | { readonly kind: "kv.get" | "kv.put" | "kv.delete"; readonly call: number; readonly key: string };

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly id: number;
  readonly extra: Uint8Array;
  readonly payload: Uint8Array;
}

const NOTHING = new Uint8Array(0);

/** Head and extra of a frame as one buffer; the payload is written after it, uncopied. */
export function frameHead(type: number, flags: number, id: number, extra: Uint8Array, payloadLength: number): Uint8Array {
  const head = new Uint8Array(FRAME_HEAD + extra.length);
  const view = new DataView(head.buffer);
  view.setUint8(0, type);
  view.setUint8(1, flags);
  view.setUint16(2, extra.length);
  view.setUint32(4, id);
  view.setUint32(8, payloadLength);
  head.set(extra, FRAME_HEAD);
  return head;
}

/** A stream that is not a stream of frames: too large, or unknown. The container that sent it is ended. */
export class FrameError extends Error {}

/** Types of frames that may have a larger payload than others, and how large. */
export interface LargeFrames {
  readonly types: ReadonlySet<number>;
  readonly bytes: number;
}

/**
 * Cuts a byte stream into frames. Feed it what arrives; it calls back for each whole frame and holds at most
 * one half frame of bounded size. Frames handed out are views into what was fed: copy what is kept.
 */
export class FrameReader {
  readonly #onFrame: (frame: Frame) => void;
  readonly #maxExtra: number;
  readonly #maxPayload: number;
  readonly #large: LargeFrames | undefined;
  #pending: Uint8Array[] = [];
  #have = 0;
  #need = FRAME_HEAD;

  constructor(onFrame: (frame: Frame) => void, maxExtra: number, maxPayload: number, large?: LargeFrames) {
    this.#onFrame = onFrame;
    this.#maxExtra = maxExtra;
    this.#maxPayload = maxPayload;
    this.#large = large;
  }

  /** Bytes of the frame that has begun and is not whole; 0 between frames. */
  get held(): number {
    return this.#pending.length === 0 ? 0 : this.#have;
  }

  /** Throws FrameError when the stream breaks the rules; the reader is then unusable. */
  feed(chunk: Uint8Array): void {
    if (this.#pending.length > 0) {
      this.#pending.push(chunk);
      this.#have += chunk.length;
      if (this.#have < this.#need) return;
      chunk = this.#pending.length === 1 ? chunk : join(this.#pending, this.#have);
      this.#pending = [];
    }
    let at = 0;
    while (chunk.length - at >= FRAME_HEAD) {
      const view = new DataView(chunk.buffer, chunk.byteOffset + at, FRAME_HEAD);
      const extraLength = view.getUint16(2);
      const payloadLength = view.getUint32(8);
      if (extraLength > this.#maxExtra || (payloadLength > this.#maxPayload && !this.#mayBeLarge(view.getUint8(0), payloadLength))) {
        throw new FrameError(`frame of ${extraLength} + ${payloadLength} bytes`);
      }
      const end = at + FRAME_HEAD + extraLength + payloadLength;
      if (end > chunk.length) {
        this.#need = end - at;
        this.#keep(chunk, at);
        return;
      }
      const body = at + FRAME_HEAD;
      this.#onFrame({
        type: view.getUint8(0),
        flags: view.getUint8(1),
        id: view.getUint32(4),
        extra: extraLength === 0 ? NOTHING : chunk.subarray(body, body + extraLength),
        payload: payloadLength === 0 ? NOTHING : chunk.subarray(body + extraLength, end),
      });
      at = end;
    }
    this.#need = FRAME_HEAD;
    if (at < chunk.length) this.#keep(chunk, at);
  }

  #mayBeLarge(type: number, payloadLength: number): boolean {
    return this.#large?.types.has(type) === true && payloadLength <= this.#large.bytes;
  }

  #keep(chunk: Uint8Array, at: number): void {
    const rest = at === 0 ? chunk : chunk.subarray(at);
    this.#pending = [rest];
    this.#have = rest.length;
  }
}

function join(parts: Uint8Array[], length: number): Uint8Array {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
