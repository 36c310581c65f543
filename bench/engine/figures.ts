/** Arithmetic of a benchmark, pure: medians and percentiles over rounds, ratios within a round, and the order of the rounds. */

/** What one quantity came to over the rounds of one command. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** How many rounds it was seen in. */
  readonly rounds: number;
}

/** The value below which the share `p` (0..1) of the values lies, by nearest rank; NaN for no values. Does not change `values`. */
export function percentile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const rank = Math.min(sorted.length - 1, Math.max(0, Math.ceil(p * sorted.length) - 1));
  return sorted[rank] ?? Number.NaN;
}

/** The middle value, or the mean of the two middle ones; NaN for no values. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  const upper = sorted[half] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? Number.NaN) + upper) / 2;
}

/** Median, least and most of the finite values. Throws RangeError when there is none: a figure without a round is no figure. */
export function spread(values: readonly number[]): Spread {
  const finite = values.filter(Number.isFinite);
  if (finite.length === 0) throw new RangeError("no round gave a value");
  return { median: median(finite), min: Math.min(...finite), max: Math.max(...finite), rounds: finite.length };
}

/** Ratio of each round, candidate over floor of the same round, and then their spread. Throws RangeError for unequal lengths. */
export function ratio(candidate: readonly number[], floor: readonly number[]): Spread {
  if (candidate.length !== floor.length) throw new RangeError(`${candidate.length} rounds against ${floor.length}`);
  return spread(candidate.map((value, round) => value / (floor[round] ?? Number.NaN)));
}

/** The order in which round `round` visits its subjects: each comes first equally often, so that none always runs after the same one. */
export function rotated<T>(subjects: readonly T[], round: number): T[] {
  if (subjects.length === 0) return [];
  const shift = round % subjects.length;
  return [...subjects.slice(shift), ...subjects.slice(0, shift)];
}
