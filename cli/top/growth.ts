/**
 * How much cumulative metrics grew between two samples.
 *
 * G1  A node that was started anew in between (another epoch) has grown by all it has; one that was only not heard before, by nothing.
 * G2  A counter never grows by less than nothing.
 */
import type { NodeMetrics, Series } from "../../protocol/messages/metrics.ts";
import { METRICS, type MetricName } from "../../protocol/metrics.ts";

/** What one series of one node grew by, with its labels by name. */
export interface Grown {
  readonly node: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Of a counter. */
  readonly value: number;
  /** Of a histogram, by bucket. */
  readonly counts: readonly number[];
}

export interface Growth {
  of(metric: MetricName): Grown[];
}

/** `passedMs`: between the two samples. */
export function growthBetween(before: readonly NodeMetrics[], after: readonly NodeMetrics[], passedMs: number): Growth {
  const earlier = new Map(before.map((node) => [`${node.node}|${node.epoch}`, node]));
  const pairs = after.flatMap((node) => {
    const base = earlier.get(`${node.node}|${node.epoch}`);
    return base !== undefined || isYoung(node, passedMs) ? [{ node, base }] : [];
  });
  return {
    of(metric) {
      return pairs.flatMap(({ node, base }) => {
        const old = new Map((base?.metrics[metric] ?? []).map((series) => [series.labels.join("\n"), series]));
        return (node.metrics[metric] ?? []).map((series) => grown(metric, node.node, series, old.get(series.labels.join("\n"))));
      });
    },
  };
}

/** Named values of a gauge, now. */
export function gauges(
  nodes: readonly NodeMetrics[],
  metric: MetricName,
): { node: string; labels: Record<string, string>; value: number }[] {
  return nodes.flatMap(({ node, metrics }) =>
    (metrics[metric] ?? []).map((series) => ({ node, labels: labelsOf(metric, series), value: series.value ?? 0 })),
  );
}

/** It was started after the sample before. */
function isYoung({ at, metrics }: NodeMetrics, passedMs: number): boolean {
  const startedAt = metrics["pilot_node_start_time_seconds"]?.[0]?.value;
  return startedAt !== undefined && at - startedAt * 1_000 <= passedMs;
}

function grown(metric: MetricName, node: string, now: Series, before: Series | undefined): Grown {
  return {
    node,
    labels: labelsOf(metric, now),
    value: Math.max(0, (now.value ?? 0) - (before?.value ?? 0)),
    counts: (now.counts ?? []).map((count, at) => Math.max(0, count - (before?.counts?.[at] ?? 0))),
  };
}

function labelsOf(metric: MetricName, { labels }: Series): Record<string, string> {
  return Object.fromEntries(METRICS[metric].labels.map((name, at) => [name, labels[at] ?? ""]));
}
