/** A benchmark is a question: it measures, and answers with figures. One file per question in bench/. */
import type { Spread } from "./figures.ts";
import type { TargetName } from "./targets.ts";

/** One line of the answer. */
export interface Figure extends Spread {
  /** What was measured, for example "p50, 1 in flight, 1 KiB". */
  readonly name: string;
  /** `x`: a ratio within each round. */
  readonly unit: "x" | "ms" | "µs" | "/s" | "MiB" | "share";
  /** Set where something is aimed for. */
  readonly target?: TargetName;
}

export interface Answer {
  readonly figures: readonly Figure[];
  /** Calls that got no reply or an error, over everything that was measured. Must be 0. */
  readonly lost: number;
  /** Replies beyond the first to one call, or to somebody else's. Must be 0. */
  readonly doubled: number;
  /** What was left out and why, and what else a reader must know. */
  readonly notes: readonly string[];
  /** Version of the broker, where one took part. */
  readonly broker?: string;
}

/** How much to measure. */
export interface Effort {
  readonly rounds: number;
  /** Length of one measurement in ms. */
  readonly ms: number;
  /** True: as short as makes sense, to see that it works. */
  readonly quick: boolean;
  /** Tells how far it is. */
  readonly say: (sentence: string) => void;
}

export interface Question {
  /** The question in words. */
  readonly asks: string;
  /** Rejects with a Fault when it cannot be measured here. Leaves no process behind. */
  measure(effort: Effort): Promise<Answer>;
}

/** A figure from a spread. */
export function figure(name: string, unit: Figure["unit"], value: Spread, target?: TargetName): Figure {
  return { name, unit, ...value, ...(target !== undefined && { target }) };
}
