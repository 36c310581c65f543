/**
 * The agent's end of one container's connection: frames in, frames out. What comes in is hostile.
 *
 * I1  Nothing that arrives throws out of here: a broken stream closes the channel with its reason, once.
 * I2  What waits in either direction is bounded: one half frame in (and all half frames of the host together),
 *     LIMITS.channelBacklog out.
 * I3  A container that sends faster than LIMITS.channelFrames and channelBytes is read no faster.
 */
import type { Socket } from "node:net";
import { FRAME, type Frame, FrameReader, frameHead } from "../../../protocol/frames.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { HalfFrames } from "./half-frames.ts";
import { Pace } from "./pace.ts";

/** Why a channel closed: the other end is gone, or it broke the rules. */
export type Closed = { readonly kind: "gone" } | { readonly kind: "broken"; readonly detail: string };

// Below this, one copy costs less than a second buffer in the kernel call.
const SMALL = 2048;
// A frame may arrive in this many pieces; beyond it the pieces must have a decent size on average (else their bookkeeping outgrows the data).
const FREE_PIECES = 4096;
const DECENT_PIECE = 512;

/** Results and nested calls may bring large bodies. */
const LARGE = { types: new Set<number>([FRAME.result, FRAME.request]), bytes: LIMITS.largeBody.value };

/** One for all channels of this process: it is the process's memory. */
const halfFrames = new HalfFrames(LIMITS.halfFrames.value);

export class Channel {
  readonly #socket: Socket;
  readonly #closed: (why: Closed) => void;
  readonly #reader: FrameReader;
  readonly #pace = new Pace();
  #open = true;
  #corked = false;
  #frames = 0;
  #waiting: NodeJS.Timeout | undefined;
  #pieces = 0;
  #bytes = 0;

  /** `frame` must not throw. `closed` is called once, never from inside `frame` or `send`'s caller. */
  constructor(socket: Socket, first: Uint8Array | undefined, frame: (frame: Frame) => void, closed: (why: Closed) => void) {
    this.#socket = socket;
    this.#closed = closed;
    this.#reader = new FrameReader(
      (one) => {
        this.#frames += 1;
        this.#pieces = 0;
        this.#bytes = 0;
        if (this.#open) frame(one);
      },
      LIMITS.frameExtra.value,
      LIMITS.frameAnswer.value,
      LARGE,
    );
    socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => this.#feed(chunk));
    socket.on("error", () => this.#close({ kind: "gone" }));
    socket.on("close", () => this.#close({ kind: "gone" }));
    if (first !== undefined && first.length > 0) this.#feed(first);
  }

  /**
   * Sends one frame; false when more than the high-water mark is already waiting. The payload must not change afterwards.
   * `written`: told when the payload has left this process, or will not; at once where the channel is closed.
   */
  send(type: number, flags: number, id: number, extra: Uint8Array, payload: Uint8Array, written?: () => void): boolean {
    if (!this.#open) {
      written?.();
      return false;
    }
    const socket = this.#socket;
    const head = frameHead(type, flags, id, extra, payload.length);
    this.#gather();
    if (payload.length === 0) {
      written?.();
      return this.#sent(socket.write(head));
    }
    if (payload.length <= SMALL) {
      const whole = new Uint8Array(head.length + payload.length);
      whole.set(head);
      whole.set(payload, head.length);
      written?.();
      return this.#sent(socket.write(whole));
    }
    socket.write(head);
    return this.#sent(written === undefined ? socket.write(payload) : socket.write(payload, written));
  }

  /** All frames of one burst of messages go out in one system call, which is what a frame costs most. */
  #gather(): void {
    if (this.#corked) return;
    this.#corked = true;
    this.#socket.cork();
    process.nextTick(() => {
      this.#corked = false;
      this.#socket.uncork();
    });
  }

  destroy(): void {
    this.#open = false;
    clearTimeout(this.#waiting);
    halfFrames.forget(this);
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
      return;
    }
    if (!this.#open) return;
    halfFrames.hold(this, this.#reader.held);
    this.#slow(chunk.length);
  }

  /** The host has no room for its half frame any more. */
  crowdedOut(): void {
    this.#close({ kind: "broken", detail: "half a frame for which the host has no room" });
  }

  #slow(bytes: number): void {
    const pause = this.#pace.spend(this.#frames, bytes, performance.now());
    this.#frames = 0;
    if (pause === 0) return;
    this.#socket.pause();
    this.#waiting = setTimeout(() => this.#socket.resume(), pause);
  }

  #close(why: Closed): void {
    if (!this.#open) return;
    this.destroy();
    this.#closed(why);
  }
}
