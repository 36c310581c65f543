/**
 * The memory that half frames of all containers take together. One that begins large frames and never ends them must not
 * take it from others: beyond the bound the frame that began first is given up, and its container with it.
 */
export interface Holder {
  /** Gives its half frame up, and forgets itself here. */
  crowdedOut(): void;
}

/** Below this a half frame is not worth counting. */
const SMALL = 64 * 1024;

export class HalfFrames {
  readonly #limit: number;
  /** In the order in which the frames began. */
  readonly #held = new Map<Holder, number>();
  #bytes = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Says how much of an unfinished frame somebody holds now. */
  hold(holder: Holder, bytes: number): void {
    if (bytes < SMALL) {
      this.forget(holder);
      return;
    }
    this.#bytes += bytes - (this.#held.get(holder) ?? 0);
    this.#held.set(holder, bytes);
    for (const [oldest] of this.#held) {
      if (this.#bytes <= this.#limit) return;
      this.forget(oldest);
      oldest.crowdedOut();
    }
  }

  forget(holder: Holder): void {
    this.#bytes -= this.#held.get(holder) ?? 0;
    this.#held.delete(holder);
  }
}
