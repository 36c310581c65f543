/** Named counters of everything a host drops, refuses or limits; shown by `describe`. Names come from our code only. */
import type { Fault } from "../../protocol/errors.ts";
import { limitCounter } from "../../protocol/metrics.ts";

export class Counters {
  readonly #counts = new Map<string, number>();

  add(name: string, by = 1): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + by);
  }

  /** Counts the limit that a fault says was hit; any other fault is nothing here. */
  hit(fault: Fault): void {
    const limit = limitCounter(fault);
    if (limit !== undefined) this.add(limit);
  }

  get(name: string): number {
    return this.#counts.get(name) ?? 0;
  }

  toRecord(): Record<string, number> {
    return Object.fromEntries([...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1)));
  }
}
