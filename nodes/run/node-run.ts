/**
 * `pilot node run`: nodes of chosen roles on this machine, under one supervisor, for a broker that runs elsewhere.
 *
 * N1  It resolves when every node is ready, or rejects with nothing left running.
 * N2  Ids are this process's own: the role, and a name that differs from machine to machine.
 */
import { join, resolve } from "node:path";
import { Fault } from "../../protocol/errors.ts";
import { NODE_ROLES, type NodeRole } from "../../protocol/subjects.ts";
import { hostCount, liveUntilEnd, type NodeOptions, type NodeOrder, nodePart, runParts, showMetrics } from "../form.ts";
import { writeContexts } from "../io/broker/borrowed.ts";
import { type ConnectionSettings, resolveConnection } from "../io/context.ts";
import type { HttpServer } from "../io/http.ts";
import { defaultNodeData, type NodeData, nameOf, openNodeData } from "../io/node-data.ts";
import { roleContext } from "../io/store.ts";
import type { Supervision } from "../supervisor/supervisor.ts";

export interface NodeRunOptions extends NodeOptions {
  /** At least one. */
  readonly roles: readonly NodeRole[];
  /** Last part of the nodes' ids; default: the machine's name and a mark of the data directory. */
  readonly name?: string;
  /** Where the broker is and with which credential; exactly one of the three. */
  readonly credentials: NodeCredentials;
  /** For what the nodes keep; see defaultNodeData. */
  readonly data?: string;
  /** True: a fresh directory that is removed in the end; `data` must not be given. */
  readonly temporary?: boolean;
  /** Whether hosts answer busy functions themselves. Default: true where the broker has our configuration (a store, contexts), else false. */
  readonly direct?: boolean;
}

export type NodeCredentials =
  /** Directory of a `pilot up`, which has a credential for each role. */
  | { readonly store: string }
  /** Directory with a NATS context file `<role>.json` for each role, as `pilot cluster init` makes it. */
  | { readonly contexts: string }
  /** One credential for all nodes of this process. */
  | { readonly settings: ConnectionSettings };

export interface RunningNodes {
  /** Ids in the order of their start. */
  readonly nodes: readonly string[];
  /** URL of the broker, several with commas. */
  readonly nats: string;
  readonly data: string;
  /** URL of the metrics of these nodes, where they are shown. */
  readonly metrics?: string;
  readonly pid: number;
  /** Drains and ends everything; resolves when no process is left. Legal twice. */
  stop(): Promise<void>;
  /** Ends everything at once, without draining. */
  kill(): void;
  /** Resolves after `stop`, or when every node was drained on request; rejects with the Fault when one could not be kept alive. */
  readonly done: Promise<void>;
  /** Process id of a node that runs now. */
  pidOf(node: string): number | undefined;
}

/** Starts the nodes. Faults: BadRequest for what was named and cannot be used, Conflict for an id or directory in use, Unavailable, Cancelled. */
export async function runNodes(options: NodeRunOptions): Promise<RunningNodes> {
  if (options.roles.length === 0) throw new Fault("BadRequest", "name at least one role");
  if (options.temporary === true && options.data !== undefined)
    throw new Fault("BadRequest", "a directory that was named is never removed: give either data or temporary");
  const path = options.temporary === true ? undefined : (options.data ?? defaultNodeData(options.name, options.environment ?? process.env));
  const hosts = hostCount(options);
  const data = await openNodeData(path);
  let supervision: Supervision | undefined;
  let shown: HttpServer | undefined;
  const leave = async (): Promise<void> => {
    await shown?.stop();
    await data.close();
  };
  try {
    const nodes = nodesOf(options.roles, hosts, options.name ?? nameOf(data.directory));
    const { context, nats, ours } = await contextsFor(options, data);
    const place = { directory: data.directory, logs: data.logs, context };
    const direct = options.direct ?? ours;
    shown = await showMetrics(options, nodes, () => supervision);
    supervision = runParts(
      nodes.map((one) => nodePart(one, place, direct, options)),
      options,
    );
    await supervision.ready;
    await data.markReady();
    const { kill, pidOf } = supervision;
    const life = liveUntilEnd(supervision, leave);
    const metrics = shown && `${shown.url}/metrics`;
    return {
      nodes: nodes.map(({ node }) => node),
      nats,
      data: data.directory,
      ...(metrics && { metrics }),
      pid: process.pid,
      kill,
      pidOf,
      ...life,
    };
  } catch (error) {
    await supervision?.stop();
    await leave();
    throw error;
  }
}

/** In the order in which they start. */
function nodesOf(roles: readonly NodeRole[], hosts: number, name: string): NodeOrder[] {
  return NODE_ROLES.filter((role) => roles.includes(role)).flatMap((role) =>
    Array.from({ length: role === "host" ? hosts : 1 }, (_, index) => {
      const node = `${role}-${name}${index === 0 ? "" : `-${index + 1}`}`;
      if (!/^[A-Za-z0-9_-]{1,64}$/.test(node))
        throw new Fault("BadRequest", `"${node}" is no id for a node: give a shorter name of letters`);
      return { role, node };
    }),
  );
}

interface FoundContexts {
  context(order: NodeOrder): string;
  readonly nats: string;
  /** The broker has a configuration of ours. */
  readonly ours: boolean;
}

async function contextsFor({ credentials, roles }: NodeRunOptions, data: NodeData): Promise<FoundContexts> {
  if ("settings" in credentials) {
    await writeContexts(credentials.settings, data, ["nodes"]);
    return { context: () => data.contextFile("nodes"), nats: credentials.settings.servers.join(","), ours: false };
  }
  const isStore = "store" in credentials;
  const directory = resolve(isStore ? join(credentials.store, "contexts") : credentials.contexts);
  const fileOf = (role: NodeRole): string => join(directory, `${isStore ? roleContext(role) : role}.json`);
  let nats = "";
  let ours = true;
  for (const role of roles) {
    const file = fileOf(role);
    const { user, servers } = await resolveConnection({ context: file }, {}).catch((thrown: unknown) => {
      const { message } = Fault.from(thrown);
      const next = isStore ? "Is it the store of a pilot up that has run?" : "pilot cluster init makes such a directory.";
      throw new Fault("BadRequest", `there is no credential for a ${role}: ${message}`, { next }, thrown);
    });
    nats = servers.join(",");
    // A store on a server that it did not start has the operator's credential there.
    ours &&= user === role;
  }
  return { context: ({ role }) => fileOf(role), nats, ours };
}
