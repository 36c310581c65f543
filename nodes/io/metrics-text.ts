/** The only import of prom-client: metrics of all nodes as the text that Prometheus reads, made when it is asked for. */
import { type Metric, Registry } from "prom-client";
import type { Bus } from "../../actors/kit/bus.ts";
import { fleetMetrics, type Series } from "../../protocol/messages/metrics.ts";
import { METRICS, type MetricName, TIME_BUCKETS } from "../../protocol/metrics.ts";

type FleetMetrics = ReturnType<typeof fleetMetrics.reply.parse>;

/** For the header of an answer over HTTP. */
export const METRICS_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

/** One value of a metric, as prom-client prints it. */
interface Value {
  readonly metricName?: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

/** Asks any scheduler for the metrics of all nodes, as text. Rejects with Fault Unavailable when none answers. */
export async function scrape(control: Bus): Promise<string> {
  return metricsText(await control.ask(fleetMetrics, [], {}));
}

/** Metrics that this release does not know, and series that do not fit their row, are left out: they come from another release. */
export async function metricsText({ nodes, silent }: FleetMetrics): Promise<string> {
  const registry = new Registry();
  const values = new Map<MetricName, Value[]>();
  for (const { node, role, metrics } of nodes) {
    for (const [name, rows] of Object.entries(metrics)) {
      if (!isKnown(name)) continue;
      const known = values.get(name) ?? [];
      values.set(name, known);
      for (const row of rows) known.push(...valuesOf(name, { node, role }, row));
    }
  }
  values.set("pilot_nodes_unheard", [{ labels: {}, value: silent.length }]);
  for (const [name, { type, meaning }] of Object.entries(METRICS)) {
    const found = values.get(name as MetricName);
    if (found === undefined || found.length === 0) continue;
    const metric = { name, help: meaning, type, values: found, aggregator: "sum" };
    registry.registerMetric({ name, get: () => Promise.resolve(metric) } as unknown as Metric);
  }
  return registry.metrics();
}

const isKnown = (name: string): name is MetricName => Object.hasOwn(METRICS, name);

function valuesOf(name: MetricName, of: { node: string; role: string }, series: Series): Value[] {
  const row = METRICS[name];
  const names: readonly string[] = row.labels;
  if (series.labels.length !== names.length) return [];
  const labels: Record<string, string> = { ...Object.fromEntries(names.map((label, at) => [label, series.labels[at] ?? ""])), ...of };
  if (row.type !== "histogram") return series.value === undefined ? [] : [{ labels, value: series.value }];
  const { counts, sum } = series;
  if (counts?.length !== TIME_BUCKETS.length + 1 || sum === undefined) return [];
  let total = 0;
  const buckets = counts.map((count, at): Value => {
    total += count;
    return { metricName: `${name}_bucket`, labels: { le: TIME_BUCKETS[at] ?? "+Inf", ...labels }, value: total };
  });
  return [...buckets, { metricName: `${name}_sum`, labels, value: sum }, { metricName: `${name}_count`, labels, value: total }];
}
