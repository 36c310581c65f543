/** The metrics of a frontend: what it holds, whom it knows, and which errors it answered itself. */
import type { Series } from "../../protocol/messages/metrics.ts";
import { Samples } from "../kit/samples.ts";

export interface MeasuredFrontend {
  readonly counters: Readonly<Record<string, number>>;
  readonly held: Readonly<Record<string, number>>;
  readonly known: Readonly<Record<string, number>>;
  readonly isDraining: boolean;
}

const FAILED = "failed.";

export function frontendMetrics({ counters, held, known, isDraining }: MeasuredFrontend): Record<string, Series[]> {
  const samples = new Samples();
  for (const [name, count] of Object.entries(counters))
    if (name.startsWith(FAILED)) samples.add("pilot_errors_total", count, name.slice(FAILED.length));
  samples.counters(counters);
  samples.held(held);
  samples.each("pilot_known_nodes", known);
  samples.add("pilot_draining", isDraining ? 1 : 0);
  return samples.toRecord();
}
