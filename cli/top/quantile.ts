/** Quantiles out of buckets: as exact as the buckets are. */
import { TIME_BUCKETS } from "../../protocol/metrics.ts";

/** Adds counts bucket by bucket. */
export function sumCounts(rows: readonly (readonly number[])[]): number[] {
  const sum: number[] = new Array<number>(TIME_BUCKETS.length + 1).fill(0);
  for (const row of rows) for (const [at, count] of row.entries()) sum[at] = (sum[at] ?? 0) + count;
  return sum;
}

/** In ms, by a straight line within its bucket; undefined where nothing was counted. Beyond the last bound it is the last bound. */
export function quantileMs(counts: readonly number[], share: number): number | undefined {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return undefined;
  const wanted = share * total;
  let below = 0;
  for (const [at, count] of counts.entries()) {
    if (count > 0 && below + count >= wanted) {
      const low = TIME_BUCKETS[at - 1] ?? 0;
      const high = TIME_BUCKETS[at] ?? low;
      return 1_000 * (low + (high - low) * ((wanted - below) / count));
    }
    below += count;
  }
  return 1_000 * (TIME_BUCKETS.at(-1) ?? 0);
}
