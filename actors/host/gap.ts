/**
 * Notices that the process slept, or was cut off. What arrives right after such a gap had piled up: its owners have judged it
 * meanwhile, or their callers went away: direct calls end with an error and orders are refused.
 */
import { LIMITS } from "../../protocol/limits.ts";
import type { Bus } from "../kit/bus.ts";

export class Gap {
  #seenAt: number;
  #until = 0;
  #gaps = 0;
  readonly #bus: Pick<Bus, "owedMs">;

  /** `bus`: of the connection on which calls come. */
  constructor(now: number, bus: Pick<Bus, "owedMs">) {
    this.#seenAt = now;
    this.#bus = bus;
  }

  /** To be called at least every LIMITS.hostTick while the process runs. Returns the length of a gap that has just ended, or 0. */
  tick(now: number): number {
    const passed = now - this.#seenAt;
    this.#seenAt = now;
    if (passed <= LIMITS.clockGap.value + LIMITS.hostTick.value) return 0;
    this.#gaps++;
    this.#until = now + LIMITS.pileUp.value;
    return passed;
  }

  isPilingUp(now: number): boolean {
    // A message may be read before the first timer after the gap fires.
    if (now - this.#seenAt > LIMITS.clockGap.value + LIMITS.hostTick.value) this.tick(now);
    // What a cable that was cut held back comes before the answer that is owed: it may be as old, and run elsewhere by now.
    return now < this.#until || (this.#bus.owedMs ?? 0) > LIMITS.clockGap.value;
  }

  get gaps(): number {
    return this.#gaps;
  }
}
