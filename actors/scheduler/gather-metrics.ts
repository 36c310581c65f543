/** The metrics of every live node, asked of each at once; bounded, so that the answer fits into a message. */
import { LIMITS } from "../../protocol/limits.ts";
import { type fleetMetrics, type NodeMetrics, nodeMetrics, type Series } from "../../protocol/messages/metrics.ts";
import { METRICS, type MetricName, OTHER } from "../../protocol/metrics.ts";
import type { Bus } from "../kit/bus.ts";

export type FleetMetrics = ReturnType<typeof fleetMetrics.reply.parse>;

/** Asks nodes over the broker. */
export function gatherMetrics(control: Bus, nodes: readonly string[]): Promise<FleetMetrics> {
  return gathered(nodes, (node) => control.ask(nodeMetrics, [node], {}));
}

/** Nodes that do not answer are named; how long they may take is the asker's to say. */
export async function gathered(nodes: readonly string[], ask: (node: string) => Promise<NodeMetrics>): Promise<FleetMetrics> {
  const answers = await Promise.allSettled(nodes.map(ask));
  const heard = answers.flatMap((answer) => (answer.status === "fulfilled" ? [answer.value] : []));
  const there = new Set(heard.map(({ node }) => node));
  return { nodes: bounded(heard), silent: nodes.filter((node) => !there.has(node)) };
}

/** Over LIMITS.metricSeries the functions of each node are one: series of a single node would say nothing about where the load is. */
export function bounded(nodes: readonly NodeMetrics[], limit: number = LIMITS.metricSeries.value): NodeMetrics[] {
  const series = nodes.reduce((total, { metrics }) => total + Object.values(metrics).reduce((sum, rows) => sum + rows.length, 0), 0);
  return series <= limit ? [...nodes] : nodes.map(withoutFunctions);
}

function withoutFunctions(node: NodeMetrics): NodeMetrics {
  const metrics = Object.entries(node.metrics).map(([name, rows]) => {
    const labels: readonly string[] = Object.hasOwn(METRICS, name) ? METRICS[name as MetricName].labels : [];
    const at = labels.indexOf("function");
    return [name, at < 0 ? rows : together(rows, [labels.indexOf("account"), at])] as const;
  });
  return { ...node, metrics: Object.fromEntries(metrics) };
}

/** Sums series that differ only in the labels at these places. */
function together(rows: readonly Series[], places: readonly number[]): Series[] {
  const sums = new Map<string, Series>();
  for (const row of rows) {
    const labels = row.labels.map((label, at) => (places.includes(at) ? OTHER : label));
    const key = labels.join("\n");
    const sum = sums.get(key);
    sums.set(key, sum === undefined ? { ...row, labels } : added(sum, row));
  }
  return [...sums.values()];
}

function added(a: Series, b: Series): Series {
  return {
    labels: a.labels,
    ...(a.value !== undefined && { value: a.value + (b.value ?? 0) }),
    ...(a.counts !== undefined && { counts: a.counts.map((count, at) => count + (b.counts?.[at] ?? 0)) }),
    ...(a.sum !== undefined && { sum: a.sum + (b.sum ?? 0) }),
  };
}
