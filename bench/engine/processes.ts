/** What processes used, from /proc: cpu time, memory, and who descends from whom. Linux only. */
import { readdirSync, readFileSync } from "node:fs";

/** The kernel's unit of cpu time in these files is 1/100 s on every Linux that Node runs on. */
const TICK_MS = 10;

interface Stat {
  readonly pid: number;
  readonly parent: number;
  readonly name: string;
  /** User and system time, of its own and of children that ended and were waited for, in ms. */
  readonly cpuMs: number;
}

function statOf(pid: string | number): Stat | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    const close = text.lastIndexOf(")");
    const rest = text.slice(close + 2).split(" ");
    const ticks = [11, 12, 13, 14].reduce((sum, field) => sum + Number(rest[field]), 0);
    return { pid: Number(pid), parent: Number(rest[1]), name: text.slice(text.indexOf("(") + 1, close), cpuMs: ticks * TICK_MS };
  } catch {
    return undefined;
  }
}

/** A process and everything below it, the process first. Empty when it is gone. */
export function treeOf(root: number): readonly Stat[] {
  const children = new Map<number, Stat[]>();
  let self: Stat | undefined;
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = statOf(name);
    if (stat === undefined) continue;
    if (stat.pid === root) self = stat;
    const list = children.get(stat.parent);
    if (list === undefined) children.set(stat.parent, [stat]);
    else list.push(stat);
  }
  if (self === undefined) return [];
  const found = [self];
  for (let at = 0; at < found.length; at += 1) found.push(...(children.get(found[at]?.pid ?? 0) ?? []));
  return found;
}

/** Cpu time used since the clock was made, in ms, over processes that are alive at both ends; good to 10 ms per process. */
export interface CpuClock {
  stop(): number;
}

/** Starts counting what these processes use. Processes are named by id; those that end in between are not counted. */
export function cpuClock(pids: () => readonly number[]): CpuClock {
  const before = new Map(pids().map((pid) => [pid, statOf(pid)?.cpuMs ?? 0]));
  return {
    stop() {
      let sum = 0;
      for (const [pid, then] of before) {
        const now = statOf(pid);
        if (now !== undefined) sum += now.cpuMs - then;
      }
      return sum;
    },
  };
}

/** Proportional set size of a process in MiB: shared pages count by their share. 0 when it is gone. */
export function pssMiB(pid: number): number {
  try {
    const found = /^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"));
    return Number(found?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}
