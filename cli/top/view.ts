/** What `pilot top` shows, from two samples: rates from what counters grew by in between, the rest as it is now. */
import type { Host } from "../fleet.ts";
import { type Growth, gauges, growthBetween } from "./growth.ts";
import { quantileMs, sumCounts } from "./quantile.ts";
import type { Sample } from "./sample.ts";

export interface FunctionRow {
  readonly account: string;
  readonly function: string;
  readonly callsPerS: number;
  readonly failuresPerS: number;
  /** Undefined while nothing has run in between. */
  readonly p50Ms: number | undefined;
  readonly p99Ms: number | undefined;
  /** Shares of the calls by the rung on which they were placed, and of those that a host answered itself; 0 to 1. */
  readonly rungs: Readonly<Record<string, number>>;
  readonly directShare: number;
  readonly waiting: number;
}

export interface HostRow {
  readonly id: string;
  readonly state: "ready" | "draining" | "silent";
  readonly memoryMb: number;
  readonly usedMb: number;
  /** Share of its machine's processors that was busy in between; undefined where that is not known. */
  readonly cpu: number | undefined;
  readonly callsPerS: number;
  readonly instances: Readonly<Record<string, number>>;
  readonly containers: Readonly<Record<string, number>>;
}

export interface PoolRow {
  readonly runtime: string;
  readonly memoryMb: number;
  readonly warm: number;
  readonly wanted: number;
}

export interface NodeRow {
  readonly role: string;
  readonly id: string;
  /** Calls that it holds now. */
  readonly held: number;
  readonly errorsPerS: number;
  readonly memoryBytes: number;
  readonly lateMs: number;
}

export interface TopView {
  readonly intervalMs: number;
  readonly totals: {
    readonly callsPerS: number;
    readonly failuresPerS: number;
    readonly directShare: number;
    readonly waiting: number;
    readonly busy: number;
    readonly idle: number;
    readonly memoryMb: number;
    readonly usedMb: number;
  };
  readonly hosts: readonly HostRow[];
  readonly pools: readonly PoolRow[];
  readonly functions: readonly FunctionRow[];
  /** Schedulers, frontends and gateways. */
  readonly nodes: readonly NodeRow[];
  /** Nodes that are known and did not answer. */
  readonly silent: readonly string[];
}

export function topView(before: Sample, after: Sample): TopView {
  const intervalMs = after.at - before.at;
  const perS = (count: number): number => (intervalMs <= 0 ? 0 : (count * 1_000) / intervalMs);
  const growth = growthBetween(before.metrics.nodes, after.metrics.nodes, intervalMs);
  const functions = functionRows(after, growth, perS);
  const hosts = hostRows(after, growth, perS);
  const sum = <T>(rows: readonly T[], of: (row: T) => number): number => rows.reduce((total, row) => total + of(row), 0);
  const callsPerS = sum(functions, (row) => row.callsPerS);
  return {
    intervalMs,
    totals: {
      callsPerS,
      failuresPerS: sum(functions, (row) => row.failuresPerS),
      directShare: share(
        sum(functions, (row) => row.callsPerS * row.directShare),
        callsPerS,
      ),
      waiting: sum(functions, (row) => row.waiting),
      busy: sum(hosts, (row) => row.containers["busy"] ?? 0),
      idle: sum(hosts, (row) => row.containers["idle"] ?? 0),
      memoryMb: sum(hosts, (row) => row.memoryMb),
      usedMb: sum(hosts, (row) => row.usedMb),
    },
    hosts,
    pools: poolRows(after.fleet.hosts),
    functions,
    nodes: nodeRows(after, growth, perS),
    silent: [...new Set([...after.fleet.silent, ...after.metrics.silent])].sort(),
  };
}

const share = (part: number, whole: number): number => (whole === 0 ? 0 : part / whole);

function functionRows({ metrics }: Sample, growth: Growth, perS: (count: number) => number): FunctionRow[] {
  const keyOf = (labels: Readonly<Record<string, string>>): string => `${labels["account"]}/${labels["function"]}`;
  const runs = groupBy(growth.of("pilot_call_run_seconds"), ({ labels }) => keyOf(labels));
  const ended = groupBy(growth.of("pilot_calls_total"), ({ labels }) => keyOf(labels));
  const direct = groupBy(growth.of("pilot_calls_direct_total"), ({ labels }) => keyOf(labels));
  const waiting = groupBy(gauges(metrics.nodes, "pilot_waiting_calls"), ({ labels }) => keyOf(labels));
  const keys = new Set([...ended.keys(), ...waiting.keys()]);
  const rows = [...keys].map((key): FunctionRow => {
    const [account = "", name = ""] = key.split("/");
    const ends = ended.get(key) ?? [];
    const calls = ends.reduce((total, { value }) => total + value, 0);
    const failed = ends.filter(({ labels }) => labels["outcome"] !== "ok").reduce((total, { value }) => total + value, 0);
    const byRung = groupBy(ends, ({ labels }) => labels["rung"] ?? "");
    const rungs = [...byRung].map(([rung, of]) => [rung, of.reduce((total, { value }) => total + value, 0)] as const);
    const counts = sumCounts((runs.get(key) ?? []).map((one) => one.counts));
    return {
      account,
      function: name,
      callsPerS: perS(calls),
      failuresPerS: perS(failed),
      p50Ms: quantileMs(counts, 0.5),
      p99Ms: quantileMs(counts, 0.99),
      rungs: Object.fromEntries(rungs.filter(([, count]) => count > 0).map(([rung, count]) => [rung, share(count, calls)])),
      directShare: share(
        (direct.get(key) ?? []).reduce((total, { value }) => total + value, 0),
        calls,
      ),
      waiting: (waiting.get(key) ?? []).reduce((total, { value }) => total + value, 0),
    };
  });
  return rows.sort((a, b) => b.callsPerS - a.callsPerS || b.waiting - a.waiting || (nameOf(a) < nameOf(b) ? -1 : 1));
}

const nameOf = (row: FunctionRow): string => `${row.account}/${row.function}`;

function hostRows({ fleet }: Sample, growth: Growth, perS: (count: number) => number): HostRow[] {
  const calls = groupBy(growth.of("pilot_calls_total"), ({ node }) => node);
  const machine = groupBy(growth.of("pilot_machine_cpu_seconds_total"), ({ node }) => node);
  const heard = fleet.hosts.map((host): HostRow => {
    const cpu = machine.get(host.id) ?? [];
    const seconds = (state: string): number => cpu.find(({ labels }) => labels["state"] === state)?.value ?? 0;
    const all = seconds("busy") + seconds("idle");
    return {
      id: host.id,
      state: host.draining ? "draining" : "ready",
      memoryMb: host.memoryMb,
      usedMb: host.usedMb,
      cpu: all === 0 ? undefined : seconds("busy") / all,
      callsPerS: perS((calls.get(host.id) ?? []).reduce((total, { value }) => total + value, 0)),
      instances: countBy(host.instances, ({ state }) => state),
      containers: countBy(
        host.instances.flatMap((instance) => instance.containers),
        ({ state }) => state,
      ),
    };
  });
  const silent = fleet.silent.map((id): HostRow => {
    return { id, state: "silent", memoryMb: 0, usedMb: 0, cpu: undefined, callsPerS: 0, instances: {}, containers: {} };
  });
  return [...heard, ...silent].sort((a, b) => (a.id < b.id ? -1 : 1));
}

function poolRows(hosts: readonly Host[]): PoolRow[] {
  const rows = new Map<string, PoolRow>();
  for (const host of hosts) {
    for (const { runtime, memoryMb, warm: wanted } of host.pools) {
      const key = `${runtime}@${memoryMb}`;
      const row = rows.get(key) ?? { runtime, memoryMb, warm: 0, wanted: 0 };
      const warm = host.instances.filter((one) => one.state === "warm" && one.runtime === runtime && one.memoryMb === memoryMb).length;
      rows.set(key, { ...row, warm: row.warm + warm, wanted: row.wanted + wanted });
    }
  }
  return [...rows.values()];
}

function nodeRows({ metrics }: Sample, growth: Growth, perS: (count: number) => number): NodeRow[] {
  const errors = groupBy(growth.of("pilot_errors_total"), ({ node }) => node);
  const value = (of: Sample["metrics"]["nodes"][number], name: string): number => of.metrics[name]?.[0]?.value ?? 0;
  return metrics.nodes
    .filter(({ role }) => role !== "host")
    .map((node) => ({
      role: node.role,
      id: node.node,
      held: (node.metrics["pilot_held_calls"] ?? []).reduce((total, series) => total + (series.value ?? 0), 0),
      errorsPerS: perS((errors.get(node.node) ?? []).reduce((total, one) => total + one.value, 0)),
      memoryBytes: value(node, "pilot_process_memory_bytes"),
      lateMs: value(node, "pilot_event_loop_delay_p99_seconds") * 1_000,
    }))
    .sort((a, b) => (`${a.role} ${a.id}` < `${b.role} ${b.id}` ? -1 : 1));
}

function groupBy<T>(rows: readonly T[], keyOf: (row: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const row of rows) {
    const key = keyOf(row);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [row]);
    else group.push(row);
  }
  return groups;
}

function countBy<T>(rows: readonly T[], keyOf: (row: T) => string): Record<string, number> {
  return Object.fromEntries([...groupBy(rows, keyOf)].map(([key, group]) => [key, group.length]));
}
