/** What `pilot up` and `pilot node run` share: nodes as child processes under one supervisor. */
import { fileURLToPath } from "node:url";
import { Fault } from "../protocol/errors.ts";
import { LIMITS } from "../protocol/limits.ts";
import type { RuntimeName } from "../protocol/runtimes.ts";
import type { NodeRole } from "../protocol/subjects.ts";
import { systemClock } from "./io/clock.ts";
import type { HttpServer } from "./io/http.ts";
import { machineMemoryMb } from "./io/machine.ts";
import type { Part } from "./supervisor/part.ts";
import { type RoleEnvironment, roleEnvironment } from "./supervisor/role-environment.ts";
import { rolePart } from "./supervisor/role-part.ts";
import { type Supervision, supervise } from "./supervisor/supervisor.ts";

/** How nodes are to run. Everything has a default. */
export interface NodeOptions {
  /** Number of host agents; default 1. */
  readonly hosts?: number;
  /** Memory that the functions of each host may have together, in MB. Default: three quarters of the machine's, divided among the hosts. */
  readonly memoryMb?: number;
  readonly sandbox?: "auto" | "bubblewrap" | "process";
  /** Warm instances to keep per runtime, on each host. */
  readonly warm?: Readonly<Partial<Record<RuntimeName, number>>>;
  /** Servers that keep each stream. Default: three in a cluster of three or more, else one. */
  readonly replicas?: number;
  /** Where a gateway listens, as `address:port`. Default 127.0.0.1:8080. */
  readonly http?: string;
  /** File with the token that a gateway asks for; needed for an address that is not loopback. */
  readonly httpTokenFile?: string;
  /** File with the token for a gateway's metrics; without it they are shown only where callers need no token. */
  readonly metricsTokenFile?: string;
  /** Where this process shows the metrics of its nodes to Prometheus, as `address:port`; for `metricsTokenFile` where that is given. Default: nowhere. */
  readonly metrics?: string;
  /** How long an orderly stop waits for running calls, in ms; default LIMITS.drain. */
  readonly drainMs?: number;
  /** Level of the nodes' logs, which are in a directory `logs`. Default info. */
  readonly logLevel?: "debug" | "info" | "warn" | "error";
  /** True: every line of the nodes' logs is shown, not only warnings and errors. */
  readonly verbose?: boolean;
  /** Stops everything when aborted, also in the middle of starting. */
  readonly signal?: AbortSignal;
  /** Is told what happens, in plain sentences. Default: nobody is. */
  readonly say?: (sentence: string) => void;
  /** Where the compiled entry of a role is; tests give their own. */
  readonly entry?: (role: NodeRole) => string;
  /** Read for the directories of the user. Default: this process's. */
  readonly environment?: NodeJS.ProcessEnv;
}

export interface NodeOrder {
  readonly role: NodeRole;
  readonly node: string;
}

/** Where nodes keep what is theirs. */
export interface Place {
  readonly directory: string;
  readonly logs: string;
  /** Path of the context file of a node. */
  context(order: NodeOrder): string;
}

/** One node. The process is not started yet. */
export function nodePart(order: NodeOrder, place: Place, direct: boolean, options: NodeOptions): Part {
  const { role, node } = order;
  // From dist/nodes, and from dist/pilot where this file is bundled into the command.
  const entry = options.entry ?? ((of: NodeRole): string => fileURLToPath(new URL(`../nodes/${of}.js`, import.meta.url)));
  const settings: RoleEnvironment = {
    role,
    node,
    context: place.context(order),
    store: place.directory,
    logLevel: options.logLevel ?? "info",
    sandbox: options.sandbox ?? "auto",
    direct,
    warm: options.warm ?? {},
    ...(role === "host" && { memoryMb: options.memoryMb ?? shareOfMemory(hostCount(options)) }),
    ...(role === "gateway" && options.http !== undefined && { http: options.http }),
    ...(role === "gateway" && options.httpTokenFile !== undefined && { httpTokenFile: options.httpTokenFile }),
    ...(role === "gateway" && options.metricsTokenFile !== undefined && { metricsTokenFile: options.metricsTokenFile }),
    ...(role === "scheduler" && options.replicas !== undefined && { replicas: options.replicas }),
  };
  return rolePart({
    node,
    stage: role,
    entry: entry(role),
    environment: roleEnvironment(settings),
    logFile: `${place.logs}/${node}.log`,
    clock: systemClock,
    show: options.say ?? ((): void => undefined),
    verbose: options.verbose ?? false,
  });
}

/** Share of the machine's memory that the functions of all hosts may have together. */
const MEMORY_SHARE = 0.75;

const shareOfMemory = (hosts: number): number => Math.floor((machineMemoryMb() * MEMORY_SHARE) / hosts);

/** The number of hosts, checked. */
export function hostCount({ hosts = 1 }: NodeOptions): number {
  if (!Number.isSafeInteger(hosts) || hosts < 0) throw new Fault("BadRequest", `there cannot be ${hosts} hosts`);
  return hosts;
}

/** Starts the parts under the limits of restarts and drains, and stops them when the signal comes. */
export function runParts(
  parts: readonly Part[],
  { signal, drainMs = LIMITS.drain.value, say = (): void => undefined }: NodeOptions,
): Supervision {
  const supervision = supervise(parts, {
    policy: {
      most: LIMITS.restarts.value,
      windowMs: LIMITS.restartWindow.value,
      delayMinMs: LIMITS.restartDelayMin.value,
      delayMaxMs: LIMITS.restartDelayMax.value,
    },
    clock: systemClock,
    drainMs,
    // A node that has waited for its calls as long as it may still has to end them, and to say so.
    drainLeastMs: LIMITS.drainLeast.value,
    say,
  });
  const onAbort = (): void => void supervision.stop();
  signal?.addEventListener("abort", onAbort, { once: true });
  if (signal?.aborted) onAbort();
  const forget = (): void => signal?.removeEventListener("abort", onAbort);
  supervision.done.then(forget, forget);
  return supervision;
}

/** Shows the metrics of the nodes where that is wanted, from before they start. Rejects with Fault BadRequest. */
export async function showMetrics(
  { metrics, metricsTokenFile, say = (): void => undefined }: NodeOptions,
  nodes: readonly NodeOrder[],
  supervision: () => Supervision | undefined,
): Promise<HttpServer | undefined> {
  if (metrics === undefined) return undefined;
  // Few want them, and their libraries take time to load.
  const { serveOwnMetrics } = await import("./own-metrics.ts");
  return serveOwnMetrics({
    address: metrics,
    tokenFile: metricsTokenFile,
    nodes: nodes.map(({ node }) => node),
    async ask(node) {
      const running = supervision();
      if (running === undefined) throw new Fault("Unavailable", "nothing runs yet");
      return running.metricsOf(node);
    },
    say,
  });
}

export interface Life {
  /** Resolves after `stop`; rejects with the Fault when the parts could not be kept alive. All is cleared up either way. */
  readonly done: Promise<void>;
  stop(): Promise<void>;
}

/** Clears up with `leave` when the parts have ended, whichever way. */
export function liveUntilEnd(supervision: Supervision, leave: () => Promise<void>): Life {
  const done = supervision.done.finally(leave);
  done.catch(() => undefined);
  return {
    done,
    async stop() {
      await supervision.stop();
      await done.catch(() => undefined);
    },
  };
}
