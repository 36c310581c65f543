/**
 * Opens the sandbox of a host. `auto` takes the strongest kind that really runs here and says what is missing.
 */
import { createHash } from "node:crypto";
import { chmodSync, lstatSync, mkdirSync, realpathSync, rmdirSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import type { RuntimeName, Sandbox } from "../../../actors/instance/sandbox.ts";
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { isFull } from "../full-disk.ts";
import { Boots } from "./boots.ts";
import { Bubblewrap } from "./bubblewrap.ts";
import { findGaps } from "./gaps.ts";
import { HostSandbox } from "./host-sandbox.ts";
import { openToAll } from "./interpreter.ts";
import type { Log } from "./log.ts";
import { missingForNetwork, Network, type NetworkSettings } from "./network.ts";
import { findGroups, type GroupsKind, openGroups } from "./open-groups.ts";
import { takeOver, writeOwner } from "./owner.ts";
import { Plain } from "./plain.ts";
import { probe } from "./probe.ts";
import { findRunnables, type Runnable } from "./runnable.ts";
import { sweep } from "./sweep.ts";

export interface SandboxOptions {
  readonly kind: "auto" | "bubblewrap" | "process";
  /**
   * Directory of this agent alone: what an earlier run left in it is swept at the start, and nothing of ours is left
   * after close. One whose path is too long for sockets or closed to other users is replaced by one in the temporary directory.
   */
  readonly runDirectory: string;
  /** Name of the groups below each controller; default `pilot-` and a hash of the run directory. */
  readonly cgroupRoot?: string;
  /** Boots at once; default one per core. */
  readonly cores?: number;
  readonly log: Log;
  /** What must be closed to functions that have a network; without it none has. */
  readonly network?: NetworkSettings | undefined;
  /** Leaves control groups out even where the machine has them, for tests. */
  readonly withoutGroups?: boolean;
  /** Other bootstraps than the runtimes' own, for tests. */
  readonly bootstraps?: Partial<Record<RuntimeName, string>>;
}

/** First host uid of instances: above what systemd, containers and user databases hand out. */
const FIRST_UID = 1_900_000_000;

/** Throws BootFailed when the kind does not work here (isFull: the disk has no room), Conflict when another live agent uses the directory. */
export async function openSandbox(options: SandboxOptions): Promise<Sandbox> {
  if (options.kind === "process") return open("process", options);
  try {
    return await open("bubblewrap", options);
  } catch (error) {
    const fault = Fault.from(error);
    // A full disk says nothing about what works here: isolation is not given up for it.
    if (options.kind === "bubblewrap" || fault.name === "Conflict" || isFull(error)) throw fault;
    options.log("warn", "bubblewrap does not work here; functions run as plain processes, without isolation", { reason: fault.message });
    return open("process", options);
  }
}

async function open(kind: "bubblewrap" | "process", options: SandboxOptions): Promise<Sandbox> {
  if (kind === "bubblewrap" && process.platform !== "linux") throw new Fault("BootFailed", "bubblewrap exists on Linux only.");
  const given = resolve(options.runDirectory);
  const hash = createHash("sha256").update(given).digest();
  const runDirectory = usableDirectory(given, hash);
  if (runDirectory !== given) options.log("debug", "sandboxes run in another directory than the given one", { given, runDirectory });
  const groupRoot = options.cgroupRoot ?? `pilot-${hash.toString("hex").slice(0, 10)}`;
  await takeOver(runDirectory);
  const found = findGroups(groupRoot);
  // Groups of an earlier run are swept also when this kind does not use them.
  for (const complaint of await sweep(openGroups(found, groupRoot), runDirectory))
    options.log("warn", "the sweep left something", { complaint });
  const groupsKind: GroupsKind = kind === "process" || options.withoutGroups === true ? "none" : findGroups(groupRoot);
  layOut(runDirectory);
  let sandbox: HostSandbox | undefined;
  try {
    sandbox = build(kind, options, { runDirectory, groupRoot, groups: groupsKind, hash });
    await sandbox.open();
    await probe(sandbox);
    return sandbox;
  } catch (error) {
    if (sandbox !== undefined) await sandbox.close();
    else await sweep(openGroups(groupsKind, groupRoot), runDirectory);
    const fault = Fault.from(error);
    throw fault.name === "Internal" ? new Fault("BootFailed", `${kind} does not work here: ${fault.message}`, undefined, error) : fault;
  }
}

interface Ground {
  readonly runDirectory: string;
  readonly groupRoot: string;
  readonly groups: GroupsKind;
  readonly hash: Buffer;
}

function build(kind: "bubblewrap" | "process", options: SandboxOptions, { runDirectory, groupRoot, groups, hash }: Ground): HostSandbox {
  const runtimes = findRunnables(options.bootstraps);
  const ownUid = process.getuid?.() === 0 && usableByOthers(runDirectory, runtimes);
  const directory = join(runDirectory, "root");
  const noNetwork = options.network === undefined ? "none was configured" : missingForNetwork();
  const network = options.network !== undefined && noNetwork === undefined ? new Network(options.network) : undefined;
  const shape = kind === "bubblewrap" ? new Bubblewrap(directory, runtimes, network) : new Plain(directory, runtimes);
  const filtered = shape instanceof Bubblewrap && shape.filtered;
  return new HostSandbox({
    isolation: {
      kind,
      namespaces: kind === "bubblewrap",
      seccomp: filtered,
      cgroups: groups,
      ownUid,
      network: kind === "process" ? "host" : network === undefined ? "none" : "own",
      gaps: findGaps({ kind, groups, ownUid, filtered, noNetwork, runtimes: [...runtimes.keys()] }),
    },
    kind: shape,
    setup: { runDirectory, socket: join(runDirectory, "agent", "s"), groups, groupRoot },
    groups: openGroups(groups, groupRoot),
    boots: new Boots(options.cores ?? availableParallelism()),
    firstUid: ownUid ? FIRST_UID + (hash.readUInt32BE(0) % 20_000) * LIMITS.instanceSlots.value : undefined,
    log: options.log,
  });
}

/** Leaves room for what is appended to make the address of a socket. */
const LONGEST_DIRECTORY = 75;

// A path that is too long for sockets, or closed to the users that instances run as, is replaced by one in the
// temporary directory that a later run finds again.
function usableDirectory(given: string, hash: Buffer): string {
  mkdirSync(given, { recursive: true });
  const real = realpathSync(given);
  const closed = process.getuid?.() === 0 && !openToAll(dirname(real));
  if (Buffer.byteLength(real) <= LONGEST_DIRECTORY && !closed) return real;
  const other = join(realpathSync(tmpdir()), `pilot-${hash.toString("hex").slice(0, 10)}`);
  mkdirSync(other, { recursive: true, mode: 0o711 });
  const { uid } = lstatSync(other);
  // The name can be guessed: a directory or link that somebody else put there is not walked into.
  if (!lstatSync(other).isDirectory() || uid !== process.getuid?.())
    throw new Fault("BootFailed", `${other} belongs to somebody else. Remove it, or choose another directory than ${given}.`);
  try {
    rmdirSync(given);
  } catch {
    // somebody keeps something in it
  }
  return other;
}

// Other users may pass through, into what is theirs by owner and mode; only the agent's own socket is closed to all.
function layOut(runDirectory: string): void {
  mkdirSync(runDirectory, { recursive: true });
  chmodSync(runDirectory, 0o711);
  for (const [name, mode] of [
    ["agent", 0o700],
    ["i", 0o711],
    ["root", 0o755],
  ] as const) {
    mkdirSync(join(runDirectory, name), { recursive: true });
    chmodSync(join(runDirectory, name), mode);
  }
  writeOwner(runDirectory);
}

function usableByOthers(runDirectory: string, runtimes: ReadonlyMap<RuntimeName, Runnable>): boolean {
  // A single closed binary is copied; a closed directory (a Python in somebody's home) cannot be.
  const directories = [...runtimes.values()].flatMap(({ interpreter }) => interpreter.bound.slice(1).map((bound) => bound.from));
  return openToAll(dirname(runDirectory)) && directories.every(openToAll);
}
