/**
 * How fast one container may talk: counts frames and bytes against an allowance that refills with time. What is over it
 * is a debt: reading waits until it is paid, and the container's writes wait with it.
 */
import { LIMITS } from "../../../protocol/limits.ts";

/** What may come at once, as time at the allowed rate. */
const BURST_MS = 100;

export class Pace {
  #frames = 0;
  #bytes = 0;
  #at = 0;

  /** Counts what has arrived by `now` (monotonic milliseconds). Returns how many milliseconds to read nothing; 0 for none. */
  spend(frames: number, bytes: number, now: number): number {
    const passed = now - this.#at;
    this.#at = now;
    this.#frames = Math.max(0, this.#frames - (passed * LIMITS.channelFrames.value) / 1000) + frames;
    this.#bytes = Math.max(0, this.#bytes - (passed * LIMITS.channelBytes.value) / 1000) + bytes;
    const owed = Math.max((this.#frames * 1000) / LIMITS.channelFrames.value, (this.#bytes * 1000) / LIMITS.channelBytes.value);
    return owed <= BURST_MS ? 0 : Math.ceil(owed - BURST_MS / 2);
  }
}
