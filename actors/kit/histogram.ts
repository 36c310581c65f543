/** Counts of durations in fixed buckets: cheap enough to be kept of every call. */
import type { Series } from "../../protocol/messages/metrics.ts";
import { TIME_BUCKETS } from "../../protocol/metrics.ts";

const BOUNDS_MS: readonly number[] = TIME_BUCKETS.map((seconds) => seconds * 1_000);

export class Histogram {
  readonly #counts: number[] = new Array<number>(BOUNDS_MS.length + 1).fill(0);
  #sumMs = 0;

  /** Counts one duration; what a clock that was set back makes negative counts as 0. */
  add(ms: number): void {
    let at = 0;
    while (at < BOUNDS_MS.length && ms > (BOUNDS_MS[at] as number)) at++;
    this.#counts[at] = (this.#counts[at] as number) + 1;
    if (ms > 0) this.#sumMs += ms;
  }

  /** Adds the counts of another, as when several versions are one function. */
  merge(other: Histogram): void {
    for (const [at, count] of other.#counts.entries()) this.#counts[at] = (this.#counts[at] as number) + count;
    this.#sumMs += other.#sumMs;
  }

  toSeries(labels: string[]): Series {
    return { labels, counts: [...this.#counts], sum: this.#sumMs / 1_000 };
  }
}
