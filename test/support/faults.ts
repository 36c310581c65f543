/**
 * What tests of faults share: a function that tells of each of its runs, the processes behind a node, killing them,
 * and what may be left of them.
 */
import { cpSync, existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { processTable, startTime, treeOf } from "../../nodes/io/sandbox/process-table.ts";
import type { Ended, Platform } from "./platform.ts";
import { until } from "./until.ts";

/** Publishes `ran` with its number as soon as it runs, takes `ms`, and returns the number. */
export const WORK = `
export const handler = async ({ n, ms = 0 }, context) => {
  await context.publish("ran", { n });
  if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
  return { n };
};`;

/** Generous: the machine may be doing anything else. */
export const PATIENCE_MS = 60_000;

/** What a caller says itself when its own time is over. */
export const SILENCE = "no reply came in time";

/** The caller's own timeout, told from what the platform answers. */
export const isSilence = (ended: Pick<Ended, "error" | "message">): boolean => ended.error === "Unavailable" && ended.message === SILENCE;

/** Hears the runs of WORK in an account: number of the call → how often it ran. */
export async function countRuns(platform: Platform, account = "main"): Promise<Map<number, number>> {
  const runs = new Map<number, number>();
  platform.anonymous.bus.listen(`pilot.pub.${account}.ran`, {}, (message) => {
    const { n } = JSON.parse(new TextDecoder().decode(message.body)) as { n: number };
    runs.set(n, (runs.get(n) ?? 0) + 1);
  });
  await platform.anonymous.nc.flush();
  return runs;
}

/** A process that cannot be confused with a later one of the same pid. */
export interface Known {
  readonly pid: number;
  readonly started: string;
}

/** A process and everything below it, now. */
export function treeBelow(pid: number): Known[] {
  return treeOf(pid, processTable()).flatMap((row) => {
    const started = startTime(row.pid);
    return started === undefined ? [] : [{ pid: row.pid, started }];
  });
}

/** Those that still live. */
const stillAlive = (processes: readonly Known[]): Known[] => processes.filter(({ pid, started }) => startTime(pid) === started);

export const allGone = (processes: readonly Known[], what: string) =>
  until(() => stillAlive(processes).length === 0, `the end of ${what}`, PATIENCE_MS);

/** Process id of a node that runs now; throws when it does not. */
export function pidOf(platform: Platform, name: string): number {
  const pid = platform.running.pidOf(name);
  if (pid === undefined) throw new Error(`${name} does not run`);
  return pid;
}

/** The spawner of a host agent. */
export async function spawnerOf(host: number): Promise<number> {
  for (const row of processTable().values()) {
    if (row.parent !== host) continue;
    if ((await readFile(`/proc/${row.pid}/cmdline`, "utf8").catch(() => "")).includes("spawner.js")) return row.pid;
  }
  throw new Error(`process ${host} has no spawner`);
}

/** Kills a node with -9 and resolves when its successor is ready; gives the ms that took. */
export async function killAndAwait(platform: Platform, name: string, signal: NodeJS.Signals = "SIGKILL"): Promise<number> {
  const old = pidOf(platform, name);
  const began = performance.now();
  process.kill(old, signal);
  await replaced(platform, name, old);
  return Math.round(performance.now() - began);
}

/** Resolves when another process than `old` has the part's place and is ready. */
export const replaced = (platform: Platform, name: string, old: number) =>
  until(
    () => {
      const now = platform.running.pidOf(name);
      return now !== undefined && now !== old ? now : undefined;
    },
    `a successor of ${name}`,
    PATIENCE_MS,
  );

/** Resolves with the first reply without an error: by then the platform works again. */
export const servesAgain = (platform: Platform, target: string, n: number) =>
  until(
    async () => {
      const ended = await platform.call(target, { n }, { "Pilot-Deadline": "20000" });
      return ended.error === undefined ? ended : undefined;
    },
    `an answer of ${target}`,
    PATIENCE_MS,
  );

/** Directories of instances that stand in a host's run directory. */
async function instanceDirectories(platform: Platform, host = "host-1"): Promise<string[]> {
  return readdir(join(platform.running.store, "run", host, "i")).catch(() => []);
}

/** Resolves when a host's run directory and control groups are those of its present instances. */
export const onlyItsInstances = (platform: Platform, host = "host-1") =>
  until(
    async () => {
      const found = (await platform.fleet()).hosts.find((one) => one.id === host);
      if (found === undefined) return false;
      const present = new Set(found.instances.map((instance) => instance.id));
      const groups = (await groupsOf(platform, host)) ?? [];
      // Directories have numbers for names.
      return groups.every((name) => present.has(name)) && (await instanceDirectories(platform, host)).length <= present.size;
    },
    `directories and control groups of ${host} of its present instances only`,
    PATIENCE_MS,
  );

/**
 * Names of the instances that have control groups under a host; undefined where the host has none that this can read
 * (version 1 only).
 */
async function groupsOf(platform: Platform, host = "host-1"): Promise<string[] | undefined> {
  const root = await groupRoot(treeBelow(pidOf(platform, host)));
  return root === undefined
    ? undefined
    : readdir(root, { withFileTypes: true }).then((entries) => entries.filter((one) => one.isDirectory()).map((one) => one.name));
}

/** The directory of a host's control groups, as one of its boxes tells; undefined when none does. */
export async function groupRoot(processes: readonly Known[]): Promise<string | undefined> {
  for (const { pid } of processes) {
    const found = /^\d+:memory:\/(pilot-[0-9a-f]+)\//m.exec(await readFile(`/proc/${pid}/cgroup`, "utf8").catch(() => ""));
    if (found?.[1] !== undefined) return join("/sys/fs/cgroup/memory", found[1]);
  }
  return undefined;
}

/** Where PILOT_KEEP_LOGS names a folder, these folders or files of a temporary directory outlive it: for a failure that comes rarely. */
export function keepLogs(directory: string, names: readonly string[]): void {
  const folder = process.env["PILOT_KEEP_LOGS"];
  if (folder === undefined || folder === "") return;
  for (const name of names)
    if (existsSync(join(directory, name))) cpSync(join(directory, name), join(folder, basename(directory), name), { recursive: true });
}
