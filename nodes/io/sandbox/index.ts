/**
 * Opens the sandbox of a host. `auto` takes the strongest kind that really runs here and says what is missing.
 */
import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, realpathSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { Isolation, RuntimeName, Sandbox } from "../../../actors/instance/sandbox.ts";
import { Fault } from "../../../protocol/errors.ts";
import { RUNTIMES } from "../../../runtimes/index.ts";
import { Boots } from "./boots.ts";
import { Bubblewrap, type Runnable } from "./bubblewrap.ts";
import { findGaps } from "./gaps.ts";
import { HostSandbox, type Log } from "./host-sandbox.ts";
import { findGroups, type GroupsKind, openGroups } from "./open-groups.ts";
import { takeOver, writeOwner } from "./owner.ts";
import { Plain } from "./plain.ts";
import { probe } from "./probe.ts";
import { type Interpreter, nodeInterpreter, openToAll, pythonInterpreter } from "./stage.ts";
import { sweep } from "./sweep.ts";

export interface SandboxOptions {
  readonly kind: "auto" | "bubblewrap" | "process";
  /** Directory of this agent alone: swept at the start, gone after close. Short, because sockets live in it. */
  readonly runDirectory: string;
  /** Name of the groups below each controller; default `pilot-` and a hash of the run directory. */
  readonly cgroupRoot?: string;
  /** Boots at once; default one per core. */
  readonly cores?: number;
  readonly log: Log;
  /** Other bootstraps than the runtimes' own, for tests. */
  readonly bootstraps?: Partial<Record<RuntimeName, string>>;
}

/** First host uid of instances: above what systemd, containers and user databases hand out. */
const FIRST_UID = 1_900_000_000;
const UIDS_PER_AGENT = 10_000;

/** Throws BootFailed when the kind does not work here, Conflict when another live agent uses the directory. */
export async function openSandbox(options: SandboxOptions): Promise<Sandbox> {
  if (options.kind === "process") return open("process", options);
  try {
    return await open("bubblewrap", options);
  } catch (error) {
    const fault = Fault.from(error);
    if (options.kind === "bubblewrap" || fault.name === "Conflict") throw fault;
    options.log("warn", "bubblewrap does not work here; functions run as plain processes, without isolation", { reason: fault.message });
    return open("process", options);
  }
}

async function open(kind: "bubblewrap" | "process", options: SandboxOptions): Promise<Sandbox> {
  if (kind === "bubblewrap" && process.platform !== "linux") throw new Fault("BootFailed", "bubblewrap exists on Linux only.");
  const given = resolve(options.runDirectory);
  mkdirSync(given, { recursive: true });
  const runDirectory = realpathSync(given);
  const hash = createHash("sha256").update(runDirectory).digest();
  const groupRoot = options.cgroupRoot ?? `pilot-${hash.toString("hex").slice(0, 10)}`;
  await takeOver(runDirectory);
  const found = findGroups(groupRoot);
  // Groups of an earlier run are swept also when this kind does not use them.
  for (const complaint of await sweep(openGroups(found, groupRoot), runDirectory)) options.log("warn", "the sweep left something", { complaint });
  const groupsKind: GroupsKind = kind === "process" ? "none" : findGroups(groupRoot);
  layOut(runDirectory);

  const runtimes = findRuntimes(options);
  const ownUid = process.getuid?.() === 0 && usableByOthers(runDirectory, runtimes);
  const shape = kind === "bubblewrap" ? new Bubblewrap(join(runDirectory, "root"), runtimes) : new Plain(join(runDirectory, "root"), runtimes);
  const filtered = shape instanceof Bubblewrap && shape.filtered;
  const isolation: Isolation = { kind, namespaces: kind === "bubblewrap", seccomp: filtered, cgroups: groupsKind, ownUid, gaps: findGaps({ kind, groups: groupsKind, ownUid, filtered, runtimes: [...runtimes.keys()] }) };
  const sandbox = new HostSandbox({
    isolation,
    kind: shape,
    setup: { runDirectory, socket: join(runDirectory, "agent", "s"), groups: groupsKind, groupRoot },
    groups: openGroups(groupsKind, groupRoot),
    boots: new Boots(options.cores ?? availableParallelism()),
    firstUid: ownUid ? FIRST_UID + (hash.readUInt32BE(0) % 20_000) * UIDS_PER_AGENT : undefined,
    log: options.log,
  });
  try {
    await sandbox.open();
    await probe(sandbox);
  } catch (error) {
    await sandbox.close();
    throw Fault.from(error);
  }
  return sandbox;
}

// Other users may pass through, into what is theirs by owner and mode; only the agent's own socket is closed to all.
function layOut(runDirectory: string): void {
  mkdirSync(runDirectory, { recursive: true });
  chmodSync(runDirectory, 0o711);
  for (const [name, mode] of [["agent", 0o700], ["i", 0o711], ["root", 0o755]] as const) {
    mkdirSync(join(runDirectory, name), { recursive: true });
    chmodSync(join(runDirectory, name), mode);
  }
  writeOwner(runDirectory);
}

function findRuntimes(options: SandboxOptions): Map<RuntimeName, Runnable> {
  const interpreters: Record<RuntimeName, Interpreter | undefined> = { node: nodeInterpreter(), python: pythonInterpreter() };
  const runtimes = new Map<RuntimeName, Runnable>();
  for (const { name, bootstrap } of Object.values(RUNTIMES)) {
    const interpreter = interpreters[name];
    const file = options.bootstraps?.[name] ?? join(projectRoot(), bootstrap);
    if (interpreter !== undefined && existsSync(file)) runtimes.set(name, { interpreter, bootstrap: file });
  }
  return runtimes;
}

function usableByOthers(runDirectory: string, runtimes: ReadonlyMap<RuntimeName, Runnable>): boolean {
  // A single closed binary is copied; a closed directory (a Python in somebody's home) cannot be.
  const directories = [...runtimes.values()].flatMap(({ interpreter }) => interpreter.bound.slice(1).map((bound) => bound.from));
  return openToAll(dirname(runDirectory)) && directories.every(openToAll);
}

/** The folder that holds package.json, from wherever this file was built to. */
function projectRoot(): string {
  const given = process.env["PILOT_ROOT"];
  if (given !== undefined) return given;
  for (let at = dirname(fileURLToPath(import.meta.url)); ; at = dirname(at)) {
    if (existsSync(join(at, "package.json")) && existsSync(join(at, "runtimes"))) return at;
    if (at === dirname(at)) throw new Fault("BootFailed", "The project's folder was not found. Set PILOT_ROOT.");
  }
}
