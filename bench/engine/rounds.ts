/**
 * Interleaved, rotated rounds: every subject is measured once in each round, so that what the machine does meanwhile
 * meets all of them, and ratios are taken between neighbours in time.
 */
import { rotated } from "./figures.ts";

/** Floor or candidate: something that can be measured for a while. */
export interface Subject<T> {
  readonly name: string;
  /** One measurement of about `ms` milliseconds. */
  measure(ms: number): Promise<T>;
}

export interface RoundsOptions {
  readonly rounds: number;
  /** Length of one measurement in ms. */
  readonly ms: number;
  /** Told before each round, for a progress line. */
  readonly onRound?: (round: number) => void;
}

/** Results by name of the subject, one per round and in the order of the rounds. Rejects with what a measurement threw. */
export async function interleave<T>(subjects: readonly Subject<T>[], options: RoundsOptions): Promise<Map<string, readonly T[]>> {
  const results = new Map<string, T[]>(subjects.map(({ name }) => [name, []]));
  for (let round = 0; round < options.rounds; round += 1) {
    options.onRound?.(round);
    for (const subject of rotated(subjects, round)) results.get(subject.name)?.push(await subject.measure(options.ms));
  }
  return results;
}
