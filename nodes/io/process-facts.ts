/** What this process and its machine cost, for operators: read when asked, except the delay of the event loop, which is watched. */
import { readdirSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { ProcessFacts } from "../../actors/kit/inspection.ts";

/** How often the loop's delay is sampled; its histogram counts this in. */
const RESOLUTION_MS = 20;
/** The window over which delays are told. */
const WINDOW_MS = 5_000;

/** `reconnects` is not known here. Reading takes well under a millisecond. */
export type ProcessReader = () => Omit<ProcessFacts, "reconnects">;

/** Watches from now on, for as long as the process lives. */
export function watchProcess(): ProcessReader {
  const loop = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  loop.enable();
  const delay = () => ({ p99: late(loop.percentile(99)), max: late(loop.max) });
  let last = { p99: 0, max: 0 };
  setInterval(() => {
    last = delay();
    loop.reset();
  }, WINDOW_MS).unref();
  return () => {
    const now = delay();
    const { rss, heapUsed } = process.memoryUsage();
    const { user, system } = process.cpuUsage();
    const openFiles = countOpenFiles();
    return {
      pid: process.pid,
      memoryBytes: rss,
      heapBytes: heapUsed,
      cpuSeconds: (user + system) / 1e6,
      loopDelayMs: { p99: Math.max(now.p99, last.p99), max: Math.max(now.max, last.max) },
      machine: machineFacts(),
      ...(openFiles !== undefined && { openFiles }),
    };
  };
}

/** Nanoseconds between two samples, as delay in ms; 0 before the first. */
function late(nanoseconds: number): number {
  return Number.isFinite(nanoseconds) ? Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS) : 0;
}

function machineFacts(): ProcessFacts["machine"] {
  const cores = cpus();
  let busy = 0;
  let idle = 0;
  for (const { times } of cores) {
    busy += times.user + times.nice + times.sys + times.irq;
    idle += times.idle;
  }
  return { cores: cores.length, busySeconds: busy / 1_000, idleSeconds: idle / 1_000, load1: loadavg()[0] ?? 0 };
}

function countOpenFiles(): number | undefined {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return undefined;
  }
}
