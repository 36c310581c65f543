/**
 * The table of metrics: the only file that names one. Every sample also has the labels `node` and `role`. Names follow the
 * conventions of Prometheus: base units, `_total` for what only grows.
 */
import type { Fault } from "./errors.ts";
import { LIMITS } from "./limits.ts";

export interface MetricRow {
  readonly type: "counter" | "gauge" | "histogram";
  readonly labels: readonly string[];
  /** One sentence; the HELP line. */
  readonly meaning: string;
}

const counter = (meaning: string, ...labels: string[]): MetricRow => ({ type: "counter", labels, meaning });
const gauge = (meaning: string, ...labels: string[]): MetricRow => ({ type: "gauge", labels, meaning });
const histogram = (meaning: string, ...labels: string[]): MetricRow => ({ type: "histogram", labels, meaning });

export const METRICS = {
  pilot_calls_total: counter(
    "Calls that ended on a host, by the rung on which they were placed (none: it never ran) and by outcome (ok, or the name of the error).",
    "account",
    "function",
    "rung",
    "outcome",
  ),
  pilot_calls_direct_total: counter("Calls that a host with a grant answered itself, without a frontend.", "account", "function"),
  pilot_call_run_seconds: histogram("Time from the start of a call in its container to its end.", "account", "function"),
  pilot_call_wait_seconds: histogram(
    "Time from when the platform received a call to its start in a container; over two nodes, by both their clocks.",
    "account",
    "function",
  ),
  pilot_waiting_calls: gauge("Calls that wait now: at their keeper, or in the queue of a host.", "account", "function"),
  pilot_host_memory_bytes: gauge("Memory that a host may give to containers, and what of it is promised.", "state"),
  pilot_host_cores: gauge("Cores of a host."),
  pilot_instances: gauge("Instances of a host by runtime and state.", "runtime", "state"),
  pilot_containers: gauge("Containers of a host by state.", "state"),
  pilot_pool_wanted: gauge("Warm instances that the pool of a configuration should hold.", "runtime", "memory_mb"),
  pilot_pool_warm: gauge("Warm instances that the pool of a configuration holds.", "runtime", "memory_mb"),
  pilot_grants: gauge("Functions that a host may answer directly now."),
  pilot_code_cache_bytes: gauge("Code on the disk of a host."),
  pilot_code_downloads_total: counter("Bundles that a host fetched from the store."),
  pilot_known_nodes: gauge("Nodes that this one counts among the living, by their role.", "of"),
  pilot_busy_functions: gauge("Functions that a scheduler counts as busy by their use."),
  pilot_draining: gauge("1 while the node is stopping and takes nothing new."),
  pilot_held_calls: gauge("Calls that a node holds, by what it does with them.", "what"),
  pilot_held_bytes: gauge("Bodies that a node holds, by what it does with their calls.", "what"),
  pilot_errors_total: counter("Calls that a frontend answered with an error itself, before they had a place.", "error"),
  pilot_events_total: counter("Named things that a node dropped, refused, retried or gave up.", "event"),
  pilot_limit_hits_total: counter("How often a named limit (pilot limits) was hit.", "limit"),
  pilot_broker_reconnects_total: counter("Times that a connection of the node to the broker was lost and regained."),
  pilot_broker_connected: gauge("1 while the node's connection of that purpose stands.", "purpose"),
  pilot_replies_dropped_total: counter("Answers that a host could not keep while its connection was lost."),
  pilot_log_lines_dropped_total: counter("Lines of functions' logs that a host dropped at the limit of its rate."),
  pilot_records_dropped_total: counter("Call records that a host dropped at the limit of its rate."),
  pilot_node_info: gauge("1; version and epoch of the node are its labels.", "version", "epoch"),
  pilot_node_start_time_seconds: gauge("When the node was ready, in seconds since 1970."),
  pilot_event_loop_delay_p99_seconds: gauge("99th percentile of the delay of the node's event loop over the last seconds."),
  pilot_event_loop_delay_max_seconds: gauge("Longest delay of the node's event loop over the last seconds."),
  pilot_process_memory_bytes: gauge("Memory of the node's own process: resident in all, and heap in use.", "kind"),
  pilot_process_cpu_seconds_total: counter("Processor time of the node's own process."),
  pilot_process_open_files: gauge("Files and sockets that the node's own process has open."),
  pilot_machine_cpu_seconds_total: counter("Processor time of the machine that the node runs on, all cores together.", "state"),
  pilot_machine_load: gauge("Mean number of runnable processes of the machine over a minute."),
  pilot_nodes_unheard: gauge("Nodes that were known and did not answer this scrape."),
} as const satisfies Record<string, MetricRow>;

export type MetricName = keyof typeof METRICS;

/** Upper bounds of the buckets of every histogram of times, in seconds; the last bucket, up to infinity, has no bound. */
export const TIME_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900] as const;

/** The name under which functions are counted together that one node's metrics do not name. */
export const OTHER = "other";

/** Which counters of a node mean that a row of the table of limits was hit. */
export const LIMIT_HITS: Readonly<Record<string, keyof typeof LIMITS>> = {
  heldBytes: "heldBytes",
  roomFull: "waitingCalls",
  expired: "waitForPlace",
  "calls.expired": "waitForPlace",
  "calls.timedOut": "timeoutDefault",
  "refused.queue-full": "hostQueue",
  "handed.full": "handedOn",
  "requests.full": "requestsInFlight",
  "replies.dropped": "lateReplies",
  "reports.dropped": "lateReplies",
  "logs.dropped": "logRate",
  "records.dropped": "callRecords",
  "clock.gaps": "clockGap",
  "clock.lost": "hostSilence",
  "grants.expired": "grantLife",
  "containers.reclaimed": "keepAlive",
  connectionsDropped: "httpConnections",
};

/** The counter of the limit that a fault says was hit (its detail `limit`), undefined for any other fault. */
export function limitCounter({ details }: Fault): string | undefined {
  const limit = details?.["limit"];
  return typeof limit === "string" && Object.hasOwn(LIMITS, limit) ? `limit.${limit}` : undefined;
}

/** The hits of limits among a node's counters. */
export function limitHits(counters: Readonly<Record<string, number>>): Record<string, number> {
  const hits: Record<string, number> = {};
  for (const [counter, count] of Object.entries(counters)) {
    // A counter may also name its limit itself.
    const limit = LIMIT_HITS[counter] ?? (counter.startsWith("limit.") ? counter.slice(6) : undefined);
    if (limit !== undefined && Object.hasOwn(LIMITS, limit) && count > 0) hits[limit] = (hits[limit] ?? 0) + count;
  }
  return hits;
}
