/**
 * The agent's end of one container's connection: frames in, frames out. What comes in is hostile.
 *
 * I1  Nothing that arrives throws out of here: a broken stream closes the channel with its reason, once.
 * I2  What waits in either direction is bounded: one half frame in, LIMITS.channelBacklog out.
 */
import type { Socket } from "node:net";
import { type Frame, FrameReader, frameHead } from "../../../protocol/frames.ts";
import { LIMITS } from "../../../protocol/limits.ts";

/** Why a channel closed: the other end is gone, or it broke the rules. */
export type Closed = { readonly kind: "gone" } | { readonly kind: "broken"; readonly detail: string };

// Below this, one copy costs less than a second buffer in the kernel call.
const SMALL = 2048;
// A frame may arrive in this many pieces; beyond it the pieces must have a decent size on average (else their bookkeeping outgrows the data).
const FREE_PIECES = 4096;
const DECENT_PIECE = 512;

export class Channel {
  readonly #socket: Socket;
  readonly #closed: (why: Closed) => void;
  readonly #reader: FrameReader;
  #open = true;
  #pieces = 0;
  #bytes = 0;

  /** `frame` must not throw. `closed` is called once, never from inside `frame` or `send`'s caller. */
  constructor(socket: Socket, first: Uint8Array | undefined, frame: (frame: Frame) => void, closed: (why: Closed) => void) {
    this.#socket = socket;
    this.#closed = closed;
    this.#reader = new FrameReader(
      (one) => {
        this.#pieces = 0;
        this.#bytes = 0;
        if (this.#open) frame(one);
      },
      LIMITS.frameExtra.value,
      LIMITS.framePayload.value,
    );
    socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => this.#feed(chunk));
    socket.on("error", () => this.#close({ kind: "gone" }));
    socket.on("close", () => this.#close({ kind: "gone" }));
    if (first !== undefined && first.length > 0) this.#feed(first);
  }

  /** Sends one frame; false when more than the high-water mark is already waiting. The payload must not change afterwards. */
  send(type: number, flags: number, id: number, extra: Uint8Array, payload: Uint8Array): boolean {
    if (!this.#open) return false;
    const socket = this.#socket;
    const head = frameHead(type, flags, id, extra, payload.length);
    if (payload.length === 0) return this.#sent(socket.write(head));
    if (payload.length <= SMALL) {
      const whole = new Uint8Array(head.length + payload.length);
      whole.set(head);
      whole.set(payload, head.length);
      return this.#sent(socket.write(whole));
    }
    socket.cork();
    socket.write(head);
    const roomLeft = socket.write(payload);
    socket.uncork();
    return this.#sent(roomLeft);
  }

  destroy(): void {
    this.#open = false;
    this.#socket.destroy();
  }

  #sent(roomLeft: boolean): boolean {
    if (!roomLeft && this.#socket.writableLength > LIMITS.channelBacklog.value) {
      queueMicrotask(() => this.#close({ kind: "broken", detail: "it does not read what it is sent" }));
    }
    return roomLeft;
  }

  #feed(chunk: Uint8Array): void {
    if (!this.#open) return;
    this.#pieces += 1;
    this.#bytes += chunk.length;
    if (this.#pieces > FREE_PIECES && this.#bytes < this.#pieces * DECENT_PIECE) {
      this.#close({ kind: "broken", detail: `one frame in more than ${FREE_PIECES} tiny pieces` });
      return;
    }
    try {
      this.#reader.feed(chunk);
    } catch (error) {
      this.#close({ kind: "broken", detail: (error as Error).message });
    }
  }

  #close(why: Closed): void {
    if (!this.#open) return;
    this.destroy();
    this.#closed(why);
  }
}
