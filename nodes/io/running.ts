/**
 * Which local forms run on this machine: one file per `pilot up` in the user's state directory, so that other
 * commands find it by themselves. Files of dead processes are ignored, and removed by whoever meets them.
 */
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import { replaceFile } from "./directory.ts";
import { startedAt } from "./process-identity.ts";

export interface RunningEntry {
  /** URL of the broker. */
  readonly nats: string;
  readonly store: string;
  /** Path of the operator's context file. */
  readonly context: string;
  readonly pid: number;
  /** Epoch ms. */
  readonly startedAt: number;
  /** Where its nats-server came from, for people. */
  readonly brokerOrigin?: string;
}

/** `${PILOT_STATE_HOME:-${XDG_STATE_HOME:-~/.local/state}/pilotlight}/running`. */
function runningDirectory(environment: NodeJS.ProcessEnv = process.env): string {
  const own = environment["PILOT_STATE_HOME"];
  if (own !== undefined && isAbsolute(own)) return join(own, "running");
  const base = environment["XDG_STATE_HOME"];
  const home = environment["HOME"] ?? homedir();
  return join(base !== undefined && isAbsolute(base) ? base : join(home, ".local", "state"), "pilotlight", "running");
}

/** Adds an entry; the result removes it. */
export async function register(entry: RunningEntry, environment: NodeJS.ProcessEnv = process.env): Promise<() => Promise<void>> {
  const directory = runningDirectory(environment);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const file = join(directory, `${entry.pid}.json`);
  await replaceFile(file, `${JSON.stringify({ ...entry, process: await startedAt(entry.pid) })}\n`);
  return () => rm(file, { force: true });
}

/** All entries of live processes, the newest first. */
export async function listRunning(environment: NodeJS.ProcessEnv = process.env): Promise<RunningEntry[]> {
  const directory = runningDirectory(environment);
  const names = await readdir(directory).catch(() => []);
  const entries: RunningEntry[] = [];
  for (const name of names) {
    if (!/^\d+\.json$/.test(name)) continue;
    const file = join(directory, name);
    const entry = await read(file);
    if (entry !== undefined) entries.push(entry);
    else await rm(file, { force: true }).catch(() => undefined);
  }
  return entries.sort((a, b) => b.startedAt - a.startedAt);
}

async function read(file: string): Promise<RunningEntry | undefined> {
  try {
    const found = JSON.parse(await readFile(file, "utf8")) as Record<string, unknown>;
    const { nats, store, context, pid, startedAt: since, process: identity, brokerOrigin } = found;
    if (typeof nats !== "string" || typeof store !== "string" || typeof context !== "string") return undefined;
    if (typeof pid !== "number" || typeof since !== "number") return undefined;
    if (typeof identity !== "string" || (await startedAt(pid)) !== identity) return undefined;
    return { nats, store, context, pid, startedAt: since, ...(typeof brokerOrigin === "string" && { brokerOrigin }) };
  } catch {
    return undefined;
  }
}
