/** Samples of one node's metrics as they are gathered; the table in protocol/metrics.ts says which labels each has. */
import type { Series } from "../../protocol/messages/metrics.ts";
import { limitHits, type MetricName } from "../../protocol/metrics.ts";
import type { Histogram } from "./histogram.ts";

export class Samples {
  readonly #metrics: Record<string, Series[]>;

  /** `begun`: samples that were gathered before; they are added to. */
  constructor(begun: Record<string, Series[]> = {}) {
    this.#metrics = begun;
  }

  /** A counter or gauge. The labels are in the order of the metric's row. */
  add(name: MetricName, value: number, ...labels: string[]): void {
    this.#of(name).push({ labels, value });
  }

  histogram(name: MetricName, histogram: Histogram, ...labels: string[]): void {
    this.#of(name).push(histogram.toSeries(labels));
  }

  /** One series per entry, labelled by its key. */
  each(name: MetricName, values: Readonly<Record<string, number>>): void {
    for (const [label, value] of Object.entries(values)) this.add(name, value, label);
  }

  /** A node's named counters, and the hits of limits among them. */
  counters(counters: Readonly<Record<string, number>>): void {
    this.each("pilot_events_total", counters);
    this.each("pilot_limit_hits_total", limitHits(counters));
  }

  /** What a node holds: names that end in `bytes` are bytes, the others calls. */
  held(held: Readonly<Record<string, number>>): void {
    for (const [what, value] of Object.entries(held)) {
      const isBytes = /bytes$/i.test(what);
      this.add(isBytes ? "pilot_held_bytes" : "pilot_held_calls", value, what.replace(/(?<=.)bytes$/i, ""));
    }
  }

  toRecord(): Record<string, Series[]> {
    return this.#metrics;
  }

  #of(name: MetricName): Series[] {
    return (this.#metrics[name] ??= []);
  }
}
