/**
 * The whole form on this machine, in a temporary store with a broker of its own, as `pilot up` makes it; and the few
 * verbs that benchmarks need of it.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { publish } from "../../cli/publish.ts";
import type { Bundle } from "../../nodes/io/bundle/index.ts";
import { bundleSource } from "../../nodes/io/bundle/index.ts";
import { resolveConnection } from "../../nodes/io/context.ts";
import { type Connected, connect } from "../../nodes/io/nats.ts";
import { until } from "../../nodes/io/until.ts";
import { type UpOptions, up } from "../../nodes/up.ts";
import { Fault } from "../../protocol/errors.ts";
import { preloadFunction, showFleet } from "../../protocol/messages/fleet.ts";
import { removeFunction, setFunction, setPool } from "../../protocol/messages/registry.ts";
import type { RuntimeName } from "../../protocol/runtimes.ts";
import { SUBJECT } from "../../protocol/subjects.ts";
import { type CountedCaller, openCountedCaller } from "./counted.ts";
import { atEnd } from "./ending.ts";
import type { Call } from "./load.ts";
import { treeOf } from "./processes.ts";

export interface Settings {
  readonly memoryMb?: number;
  readonly timeoutMs?: number;
  readonly keepAliveMs?: number;
  readonly class?: "busy" | "rare";
  readonly containers?: number;
  readonly direct?: boolean;
}

/** What a traced call says of its way. */
export interface Traced {
  readonly ms: number;
  readonly rung: string;
  readonly path: string;
  readonly body: Uint8Array;
}

export interface Platform {
  readonly nats: string;
  /** Version of the nats-server. */
  readonly broker: string;
  /** Path of the operator's NATS context file. */
  readonly context: string;
  /** Operator's rights; control requests and whatever a peer needs. */
  readonly connection: Connected;
  /** For calls: replies to its inbox are counted. */
  readonly caller: CountedCaller;
  /** A plain call as any client makes it: body in, body out. */
  calls(account: string, name: string): Call;
  /** The same with Pilot-Trace, timed. Rejects with the call's Fault. */
  traced(account: string, name: string, body: Uint8Array): Promise<Traced>;
  /** Deploys a text or a bundle. */
  deploy(
    account: string,
    name: string,
    code: Bundle | { readonly source: string; readonly runtime: RuntimeName },
    settings?: Settings,
  ): Promise<void>;
  remove(account: string, name: string): Promise<void>;
  /** Readies so many idle containers of a function before any call. */
  preload(account: string, name: string, count: number): Promise<void>;
  /** Sets how many instances of a runtime are kept warm. */
  pool(runtime: RuntimeName, warm: number): Promise<void>;
  fleet(): Promise<{ readonly hosts: readonly FleetHost[] }>;
  /** Asks for the fleet until it looks as wanted. Rejects with Fault Unavailable after `limitMs`. */
  untilFleet(what: string, wanted: (host: FleetHost) => boolean, limitMs?: number): Promise<void>;
  /** Process ids of everything that serves calls: broker, nodes, spawner, containers. Not this process. */
  pids(): readonly number[];
  pidOf(name: string): number | undefined;
  stop(): Promise<void>;
}

export type FleetHost = Awaited<ReturnType<typeof askFleet>>["hosts"][number];

/** MB of the instances that a host keeps warm by itself. */
const INSTANCE_MB = 1_024;
const CALL_MS = 20_000;
const FLEET_MS = 15_000;

const askFleet = (connection: Connected) => connection.bus.ask(showFleet, [], {});

/** Brings it up. Rejects with the Fault of `up`. It is ended at the latest with the benchmark. */
export async function startPlatform(
  options: Pick<UpOptions, "warm" | "sandbox" | "hosts" | "logLevel" | "entry" | "gateway" | "http" | "memoryMb"> = {},
): Promise<Platform> {
  // Commands on this machine must not find it.
  const state = await mkdtemp(join(tmpdir(), "pilotlight-bench-"));
  const running = await up({ port: 0, temporary: true, environment: { ...process.env, PILOT_STATE_HOME: state }, ...options }).catch(
    async (thrown: unknown) => {
      await rm(state, { recursive: true, force: true });
      throw thrown;
    },
  );
  const hosts = Array.from({ length: options.hosts ?? 1 }, (_, index) => `host-${index + 1}`);
  return platformOn({
    nats: running.nats,
    broker: running.broker.version,
    context: running.context,
    parts: ["broker", "scheduler-1", "frontend-1", ...hosts],
    pidOf: (name) => running.pidOf(name),
    async stop() {
      await running.stop();
      await rm(state, { recursive: true, force: true });
    },
  });
}

/** What runs already, for `platformOn`. */
export interface Standing {
  readonly nats: string;
  readonly broker: string;
  /** Path of the operator's NATS context file. */
  readonly context: string;
  /** Names of all processes that serve calls, for `pidOf`. */
  readonly parts: readonly string[];
  pidOf(name: string): number | undefined;
  stop(): Promise<void>;
}

/** The verbs over what runs already; it is stopped when they cannot be had. */
export async function platformOn(standing: Standing): Promise<Platform> {
  const ended: { connection?: Connected } = {};
  const stop = atEnd(async () => {
    await ended.connection?.close();
    await standing.stop();
  });
  try {
    const settings = await resolveConnection({ context: standing.context }, {});
    const connection = await connect(settings, { name: "bench", role: "operator", node: "bench" });
    ended.connection = connection;
    const caller = openCountedCaller(connection.nc, settings.inboxPrefix ?? "_INBOX");
    return {
      nats: standing.nats,
      broker: standing.broker,
      context: standing.context,
      connection,
      caller,
      calls(account, name) {
        const subject = SUBJECT.fn(account, name);
        return async (body) => (await caller.call(subject, body, { timeoutMs: CALL_MS })).body;
      },
      async traced(account, name, body) {
        const began = performance.now();
        const reply = await caller.call(SUBJECT.fn(account, name), body, { timeoutMs: CALL_MS, headers: { "Pilot-Trace": "1" } });
        const ms = performance.now() - began;
        return { ms, rung: reply.headers["Pilot-Rung"] ?? "", path: reply.headers["Pilot-Path"] ?? "", body: reply.body };
      },
      async deploy(account, name, code, { direct, ...order } = {}) {
        const bundle = "source" in code ? await bundleSource(code.source, code.runtime) : code;
        await publish(connection, bundle, { account, name, settings: order });
        if (direct !== undefined) await connection.bus.ask(setFunction, [], { account, name, change: { direct } });
      },
      preload: async (account, name, count) => void (await connection.bus.ask(preloadFunction, [], { account, name, count })),
      remove: async (account, name) => void (await connection.bus.ask(removeFunction, [], { account, name })),
      pool: async (runtime, warm) => void (await connection.bus.ask(setPool, [], { runtime, memoryMb: INSTANCE_MB, warm })),
      fleet: () => askFleet(connection),
      async untilFleet(what, wanted, limitMs = FLEET_MS) {
        const look = async (): Promise<true | undefined> => ((await askFleet(connection)).hosts.some(wanted) ? true : undefined);
        if ((await until(look, limitMs)) === undefined) throw new Fault("Unavailable", `it did not come to this: ${what}`);
      },
      pids: () => standing.parts.flatMap((name) => treeOf(standing.pidOf(name) ?? 0).map(({ pid }) => pid)),
      pidOf: (name) => standing.pidOf(name),
      stop,
    };
  } catch (thrown) {
    await stop();
    throw thrown;
  }
}
