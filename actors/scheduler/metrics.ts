/** The metrics of a scheduler: what waits at its keeper, what it holds and whom it knows. */
import { LIMITS } from "../../protocol/limits.ts";
import type { Series } from "../../protocol/messages/metrics.ts";
import { OTHER } from "../../protocol/metrics.ts";
import { Samples } from "../kit/samples.ts";

export interface MeasuredScheduler {
  readonly counters: Readonly<Record<string, number>>;
  readonly held: Readonly<Record<string, number>>;
  /** Calls by account.function. */
  readonly waiting: Readonly<Record<string, number>>;
  readonly known: Readonly<Record<string, number>>;
  readonly busyFunctions: number;
  readonly isDraining: boolean;
}

export function schedulerMetrics(of: MeasuredScheduler): Record<string, Series[]> {
  const samples = new Samples();
  // A gauge may come and go: those with the most calls are named.
  const rooms = Object.entries(of.waiting).sort(([, a], [, b]) => b - a);
  for (const [key, count] of rooms.slice(0, LIMITS.metricFunctions.value)) {
    const [account = "", name = ""] = key.split(".");
    samples.add("pilot_waiting_calls", count, account, name);
  }
  const rest = rooms.slice(LIMITS.metricFunctions.value).reduce((sum, [, count]) => sum + count, 0);
  if (rest > 0) samples.add("pilot_waiting_calls", rest, OTHER, OTHER);
  samples.counters(of.counters);
  samples.held(of.held);
  samples.each("pilot_known_nodes", of.known);
  samples.add("pilot_busy_functions", of.busyFunctions);
  samples.add("pilot_draining", of.isDraining ? 1 : 0);
  return samples.toRecord();
}
