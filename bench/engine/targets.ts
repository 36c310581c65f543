/**
 * What is aimed for. `gate` is where a release fails, `goal` is what is wanted; whoever beats a goal raises it here.
 * All are ratios within one round, shares or times on a machine of two cores; docs/benchmarks.md shows them beside the figures.
 */

export interface Target {
  readonly gate: number;
  readonly goal: number;
  /** Whether small or large figures are good. */
  readonly better: "less" | "more";
}

const less = (gate: number, goal: number): Target => ({ gate, goal, better: "less" });
const more = (gate: number, goal: number): Target => ({ gate, goal, better: "more" });

export const TARGETS = {
  "warm-p50-1": less(1.8, 1.45),
  "warm-p50-64": less(2.5, 1.7),
  "warm-p99": less(3, 2),
  "warm-throughput": more(0.4, 0.6),
  "warm-cpu": less(3, 2),
  "warm-p50-64k": less(1.6, 1.3),
  "gateway-p50": less(1.2, 1.1),
  "direct-share": more(0.85, 0.92),
  "moleculer-p50": less(1.3, 1),
  "moleculer-throughput": more(0.5, 0.8),
  "workerd-throughput": more(1.5, 2.5),
  "gearmand-throughput": more(3, 5),
  "functions-framework-throughput": more(5, 8),
  "warm-rung-p50": less(6, 4),
  "warm-rung-p99": less(20, 12),
  "warm-rung-1mb-p50": less(25, 16),
  "cold-p50": less(2, 1.5),
  "cold-python-p50": less(8, 5),
  "boots-per-core": more(10, 15),
  "storm-p99": less(2, 1.3),
  "spawn-stall": less(2, 0),
  "queue-70": less(3, 2.5),
  "queue-80": less(4, 3),
  "queue-90": less(5.5, 4.5),
  "functions-p50": less(1.25, 1.1),
  "functions-throughput": more(0.8, 0.9),
  "instances-p50": less(1.5, 1.2),
  "idle-memory": less(1.25, 1.1),
  "spare-node": less(6, 4),
  "spare-python": less(4, 2),
} as const satisfies Record<string, Target>;

export type TargetName = keyof typeof TARGETS;

export type Verdict = "goal" | "gate" | "missed";

/** How a figure stands against its target. */
export function verdictOf(name: TargetName, value: number): Verdict {
  const target: Target = TARGETS[name];
  const reaches = (bound: number): boolean => (target.better === "less" ? value <= bound : value >= bound);
  if (reaches(target.goal)) return "goal";
  return reaches(target.gate) ? "gate" : "missed";
}
