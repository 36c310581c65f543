/** Sums over the hosts' own figures: what a function did in all, wherever it ran. */
import type { Static } from "typebox";
import type { FunctionCountersSchema, HostSchema, InstanceSchema } from "../protocol/messages/fleet.ts";

export type Host = Static<typeof HostSchema>;
export type Instance = Static<typeof InstanceSchema>;
export type Counters = Static<typeof FunctionCountersSchema>;

/** All versions and hosts of one function together. Percentiles cannot be added: the worst host's is given. */
export interface FunctionSum {
  readonly account: string;
  readonly function: string;
  readonly calls: number;
  readonly direct: number;
  readonly failures: Readonly<Record<string, number>>;
  readonly rungs: Readonly<Record<string, number>>;
  readonly runMs: { readonly mean: number; readonly p50: number; readonly p99: number };
  readonly hosts: number;
}

/** One sum per function, sorted by calls. */
export function sumFunctions(hosts: readonly Host[]): FunctionSum[] {
  const groups = new Map<string, { counters: Counters[]; hosts: Set<string> }>();
  for (const host of hosts) {
    for (const counters of host.functions) {
      const key = `${counters.account}.${counters.function}`;
      const group = groups.get(key) ?? { counters: [], hosts: new Set() };
      group.counters.push(counters);
      group.hosts.add(host.id);
      groups.set(key, group);
    }
  }
  return [...groups.values()].map((group) => sum(group.counters, group.hosts.size)).sort((a, b) => b.calls - a.calls);
}

function sum(rows: readonly Counters[], hosts: number): FunctionSum {
  const calls = rows.reduce((total, row) => total + row.calls, 0);
  const [first] = rows;
  return {
    account: first?.account ?? "",
    function: first?.function ?? "",
    calls,
    direct: rows.reduce((total, row) => total + row.direct, 0),
    failures: merge(rows.map((row) => row.failures)),
    rungs: merge(rows.map((row) => row.rungs)),
    runMs: {
      mean: calls === 0 ? 0 : rows.reduce((total, row) => total + row.runMs.mean * row.calls, 0) / calls,
      p50: Math.max(0, ...rows.map((row) => row.runMs.p50)),
      p99: Math.max(0, ...rows.map((row) => row.runMs.p99)),
    },
    hosts,
  };
}

/** Adds records of counts key by key. */
function merge(records: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const total = new Map<string, number>();
  for (const record of records) for (const [key, count] of Object.entries(record)) total.set(key, (total.get(key) ?? 0) + count);
  return Object.fromEntries(total);
}

/** "hot 12, warm 1", the most frequent first. */
export function counts(record: Readonly<Record<string, number>>): string {
  const present = Object.entries(record).filter(([, count]) => count > 0);
  return present
    .sort(([, a], [, b]) => b - a)
    .map(([key, count]) => `${key} ${count}`)
    .join(", ");
}

/** Where the code of a function is (F012): instances that have it, and containers that have it loaded. */
export interface Place {
  readonly host: string;
  readonly instance: string;
  readonly version: number;
  readonly containers: readonly { readonly id: string; readonly state: string }[];
}

export function places(hosts: readonly Host[], account: string, name: string): Place[] {
  const prefix = `${account}.${name}.`;
  const found: Place[] = [];
  for (const host of hosts) {
    for (const instance of host.instances) {
      const mine = instance.containers.filter((container) => container.account === account && container.function === name);
      const versions = new Set(mine.flatMap((container) => (container.version === undefined ? [] : [container.version])));
      for (const key of instance.code) if (key.startsWith(prefix)) versions.add(Number(key.slice(prefix.length).split("@")[0]));
      for (const version of versions) {
        const containers = mine.filter((container) => container.version === version).map(({ id, state }) => ({ id, state }));
        found.push({ host: host.id, instance: instance.id, version, containers });
      }
    }
  }
  return found;
}
