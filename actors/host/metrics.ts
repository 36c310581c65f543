/** The metrics of a host, from what it knows anyway. Functions are named in the order in which they came, up to a limit. */
import { LIMITS } from "../../protocol/limits.ts";
import type { Series } from "../../protocol/messages/metrics.ts";
import { OTHER } from "../../protocol/metrics.ts";
import { DOCTOR_ACCOUNT } from "../../protocol/names.ts";
import { Histogram } from "../kit/histogram.ts";
import { Samples } from "../kit/samples.ts";
import type { FunctionStats } from "./functions.ts";
import type { HostDescription } from "./ports.ts";
import type { Slot } from "./slot.ts";

export interface MeasuredHost {
  readonly described: Omit<HostDescription, "functions">;
  readonly functions: Iterable<FunctionStats>;
  readonly slots: Iterable<Slot>;
  readonly held: Readonly<Record<string, number>>;
}

const MB = 1024 * 1024;

export function hostMetrics({ described, functions, slots, held }: MeasuredHost): Record<string, Series[]> {
  const samples = new Samples();
  const { counters } = described;
  const sums = sumsOf(functions, slots);
  const failures = new Map<string, number>();
  for (const { account, name, outcomes, direct, run, wait, queued } of sums) {
    for (const [key, count] of outcomes) {
      const [rung = "", outcome = ""] = key.split("|");
      samples.add("pilot_calls_total", count, account, name, rung, outcome);
      if (outcome !== "ok") failures.set(`failed.${outcome}`, (failures.get(`failed.${outcome}`) ?? 0) + count);
    }
    samples.add("pilot_calls_direct_total", direct, account, name);
    samples.histogram("pilot_call_run_seconds", run, account, name);
    samples.histogram("pilot_call_wait_seconds", wait, account, name);
    samples.add("pilot_waiting_calls", queued, account, name);
  }
  samples.add("pilot_host_memory_bytes", described.memoryMb * MB, "total");
  samples.add("pilot_host_memory_bytes", described.usedMb * MB, "promised");
  samples.add("pilot_host_cores", described.cores);
  addInstances(samples, described);
  samples.add("pilot_grants", described.grants.length);
  samples.add(
    "pilot_code_cache_bytes",
    described.cache.reduce((total, { bytes }) => total + bytes, 0),
  );
  samples.add("pilot_code_downloads_total", described.downloads);
  samples.add("pilot_draining", described.draining ? 1 : 0);
  samples.add("pilot_replies_dropped_total", counters["replies.dropped"] ?? 0);
  samples.add("pilot_log_lines_dropped_total", counters["logs.dropped"] ?? 0);
  samples.add("pilot_records_dropped_total", counters["records.dropped"] ?? 0);
  samples.counters({ ...counters, ...Object.fromEntries(failures) });
  samples.held(held);
  return samples.toRecord();
}

interface Sum {
  readonly account: string;
  readonly name: string;
  /** By `rung|outcome`. */
  readonly outcomes: Map<string, number>;
  direct: number;
  readonly run: Histogram;
  readonly wait: Histogram;
  queued: number;
}

/** One sum per function over its versions. The first to come keep their names: a name that came and went would look like a restart. */
function sumsOf(functions: Iterable<FunctionStats>, slots: Iterable<Slot>): Iterable<Sum> {
  const sums = new Map<string, Sum>();
  const sumOf = (account: string, name: string): Sum => {
    const isNamed = sums.has(`${account}.${name}`) || sums.size < LIMITS.metricFunctions.value;
    const [shownAccount, shownName] = isNamed ? [account, name] : [OTHER, OTHER];
    const key = `${shownAccount}.${shownName}`;
    let sum = sums.get(key);
    if (sum === undefined) {
      sum = {
        account: shownAccount,
        name: shownName,
        outcomes: new Map(),
        direct: 0,
        run: new Histogram(),
        wait: new Histogram(),
        queued: 0,
      };
      sums.set(key, sum);
    }
    return sum;
  };
  for (const stats of functions) {
    const sum = sumOf(stats.account, shownName(stats.account, stats.function));
    for (const [key, count] of stats.outcomes) sum.outcomes.set(key, (sum.outcomes.get(key) ?? 0) + count);
    sum.direct += stats.direct;
    sum.run.merge(stats.runs);
    sum.wait.merge(stats.waits);
  }
  for (const slot of slots) sumOf(slot.account, shownName(slot.account, slot.function)).queued += slot.queued;
  return sums.values();
}

/** Canaries have a new name each time, and would use up the names. */
const shownName = (account: string, name: string): string => (account === DOCTOR_ACCOUNT ? "canary" : name);

function addInstances(samples: Samples, { instances, pools }: MeasuredHost["described"]): void {
  const byState = new Map<string, number>();
  const containers: Record<string, number> = { spare: 0, loading: 0, idle: 0, busy: 0 };
  for (const instance of instances) {
    const key = `${instance.runtime}|${instance.state}`;
    byState.set(key, (byState.get(key) ?? 0) + 1);
    for (const { state } of instance.containers) containers[state] = (containers[state] ?? 0) + 1;
  }
  for (const [key, count] of byState) samples.add("pilot_instances", count, ...key.split("|"));
  samples.each("pilot_containers", containers);
  for (const { runtime, memoryMb, warm } of pools) {
    const have = instances.filter((one) => one.state === "warm" && one.runtime === runtime && one.memoryMb === memoryMb);
    samples.add("pilot_pool_wanted", warm, runtime, String(memoryMb));
    samples.add("pilot_pool_warm", have.length, runtime, String(memoryMb));
  }
}
