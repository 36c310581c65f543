/**
 * The sandbox port: how a host starts, signals, measures and stops containers. Four verbs, several kinds
 * (bubblewrap, process, fake), one contract test for all of them.
 *
 * I1  An instance is a cgroup, a uid, a directory and its boxes; it exists from its first `start` to `remove`.
 * I2  A container handed out by `start` is booted and blank, in its final cgroup, at low cpu priority; `limit` makes it ready for an account.
 * I3  `ended` fires exactly once per container, after which none of its processes is alive.
 * I4  Nothing that comes out of a container can throw into the agent; a broken stream ends the container as `protocol`.
 */

import type { RuntimeName } from "../../protocol/runtimes.ts";

export type { RuntimeName };

/** What to start. */
export interface StartOrder {
  /** Instance id, `[a-z0-9-]{1,40}`: all containers with the same one share its directory, uid and cgroup. */
  readonly instance: string;
  /** Container id, unique on the host. */
  readonly container: string;
  readonly runtime: RuntimeName;
  /** Size of the instance: upper bound of all its containers together, in MB. */
  readonly instanceMb: number;
  /**
   * True: the container reaches what is outside, and neither the broker nor this machine. Fixed per instance; refused
   * with ConfigurationUnavailable where `isolation.network` is none.
   */
  readonly network: boolean;
}

/** Limits of one container once it belongs to an account. */
export interface ContainerLimits {
  readonly memoryMb: number;
  /** Weight against other containers and processes of the host; 1,024 is an ordinary process. */
  readonly cpuShares: number;
  readonly processes: number;
}

/** Why a container ended. `outOfMemory` is told by its own oom_kill counter, never by an exit code. */
export type EndCause =
  | { readonly kind: "stopped" }
  | { readonly kind: "outOfMemory" }
  | { readonly kind: "exited"; readonly code: number }
  | { readonly kind: "signalled"; readonly signal: string }
  | { readonly kind: "protocol"; readonly detail: string }
  /** The spawner died, and every box with it. */
  | { readonly kind: "spawnerLost" };

export interface ContainerStats {
  /** Bytes in use now and at the highest, as the kernel counts them for the whole container. */
  readonly memoryBytes: number;
  readonly memoryPeakBytes: number;
  readonly cpuMicroseconds: number;
  readonly processes: number;
}

/** A frame as it came out of a container; views, copy what is kept. */
export interface IncomingFrame {
  readonly type: number;
  readonly flags: number;
  readonly id: number;
  readonly extra: Uint8Array;
  readonly payload: Uint8Array;
}

/** Told about one container; set with `listen` right after `start`. Neither may throw. */
export interface ContainerListener {
  frame(frame: IncomingFrame): void;
  /** `output`: the last few KB that its processes wrote to stdout and stderr outside the channel, for crash messages. */
  ended(cause: EndCause, output: string): void;
}

export interface SandboxedContainer {
  readonly id: string;
  readonly instance: string;
  /** Milliseconds from the order to the ready frame. */
  readonly bootMs: number;
  /** What the runtime said of itself when it was ready, for example "node 20.20.2". */
  readonly runtimeVersion: string;
  listen(listener: ContainerListener): void;
  /**
   * Sends one frame; false when more than the high-water mark is already waiting (it is sent all the same). `written` is told
   * when the payload is in nobody's memory here any more, be it that the container ended.
   */
  send(type: number, flags: number, id: number, extra: Uint8Array, payload: Uint8Array, written?: () => void): boolean;
  /** Writes limits and gives the container its full priority. Fast (under a millisecond), never moves a process. */
  limit(limits: ContainerLimits): void;
  signal(what: "freeze" | "thaw"): void;
  stats(): ContainerStats;
  /** Puts a file of the host (by hard link, else copy) into the instance's read-only code directory; returns its path as the container sees it. */
  deliver(hostPath: string, name: string): Promise<string>;
  /** Kills the whole process tree at once (also when frozen) and resolves when nothing of it is left. Legal at any time, twice too. */
  stop(): Promise<void>;
}

/** How strongly containers are separated; printed by `pilot doctor` and demanded by functions. */
export interface Isolation {
  readonly kind: "bubblewrap" | "process" | "fake";
  readonly namespaces: boolean;
  readonly seccomp: boolean;
  readonly cgroups: "v1" | "v2" | "none";
  readonly ownUid: boolean;
  /** What a function with `--network` gets: a network of its own that leads outside, the host's own, or a refusal. */
  readonly network: "own" | "host" | "none";
  /** Plain sentences on what is missing here and why; empty when nothing is. */
  readonly gaps: readonly string[];
}

export interface Sandbox {
  readonly isolation: Isolation;
  /** Boots a blank container. Rejects with Fault BootFailed. Boots are queued: at most one per core at a time; `urgent` ones go first. */
  start(order: StartOrder, urgent: boolean): Promise<SandboxedContainer>;
  /** Stops what is left of an instance and removes its cgroup and directory. Resolves when nothing is left. */
  remove(instance: string): Promise<void>;
  /** Called when the spawner was lost and replaced; all containers have `ended` by then. */
  onSpawnerLost(listener: () => void): void;
  /** Ends everything, and leaves no process, cgroup or file. */
  close(): Promise<void>;
}
