/** Metrics as plain data: cumulative counters, gauges and histograms of protocol/metrics.ts. */
import Type, { type Static } from "typebox";
import { request, Strict } from "../contract.ts";
import { SUBJECT } from "../subjects.ts";
import { Count } from "./records.ts";

const SeriesSchema = Type.Object({
  /** Values of the metric's labels, in the order of its row. */
  labels: Type.Array(Type.String({ maxLength: 128 })),
  /** Of a counter or gauge. */
  value: Type.Optional(Type.Number()),
  /** Of a histogram: what fell into each bucket (not summed up), one more than there are bounds; and the sum of all values. */
  counts: Type.Optional(Type.Array(Count)),
  sum: Type.Optional(Type.Number()),
});
export type Series = Static<typeof SeriesSchema>;

const NodeMetricsSchema = Type.Object({
  node: Type.String(),
  role: Type.String(),
  epoch: Type.String(),
  /** Ms since 1970 by the node's clock. */
  at: Type.Number(),
  /** By the name of the metric. One that the reader does not know is left out by it. */
  metrics: Type.Record(Type.String(), Type.Array(SeriesSchema)),
});
export type NodeMetrics = Static<typeof NodeMetricsSchema>;

export const nodeMetrics = request({
  name: "metrics",
  subject: (node: string) => SUBJECT.node(node, "metrics"),
  request: Strict({}),
  reply: NodeMetricsSchema,
  timeoutMs: 2_000,
  meaning: "The metrics of one node, cumulative since its epoch began.",
});

export const fleetMetrics = request({
  name: "fleet-metrics",
  subject: () => SUBJECT.service("fleet", "metrics"),
  request: Strict({}),
  reply: Type.Object({
    nodes: Type.Array(NodeMetricsSchema),
    /** Nodes that were known and did not answer. */
    silent: Type.Array(Type.String()),
  }),
  timeoutMs: 5_000,
  meaning: "The metrics of every live node, asked of each of them now; what Prometheus gets at /metrics.",
});
