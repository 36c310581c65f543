/** How long it takes lately until another host has a call that was handed on, in ms: the way over the keeper, and the news of it back. */

/** What it takes where nothing waits on the way; forecast while nothing is known. */
const AT_REST_MS = 1;
/** Weight of the newest. */
const WEIGHT = 0.2;
/** A busy moment is over after a while: what it was above rest counts half after so long. */
const HALF_LIFE_MS = 500;

export class HandOnTime {
  #ms = AT_REST_MS;
  /** Monotonic. */
  #at = 0;

  took(ms: number, now: number): void {
    const before = this.ms(now);
    this.#ms = before + (ms - before) * WEIGHT;
    this.#at = now;
  }

  ms(now: number): number {
    return AT_REST_MS + (this.#ms - AT_REST_MS) * 0.5 ** (Math.max(0, now - this.#at) / HALF_LIFE_MS);
  }
}
