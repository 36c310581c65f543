/**
 * Several real nats-servers with JetStream in one cluster, and nodes of any role as `pilot node run` starts them, for what happens when
 * machines join, leave and die. Nodes know the servers in one order, so that they all sit on the first that lives.
 */
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import { type ClusterPlan, planCluster } from "../../nodes/io/broker/cluster-files.ts";
import { findBroker } from "../../nodes/io/broker/find.ts";
import { type RunningBroker, startBroker } from "../../nodes/io/broker/start.ts";
import { resolveConnection } from "../../nodes/io/context.ts";
import { openDirectory, replaceFile } from "../../nodes/io/directory.ts";
import { type Connected, connect } from "../../nodes/io/nats.ts";
import { contextOf } from "../../nodes/io/store.ts";
import { type NodeRunOptions, type RunningNodes, runNodes } from "../../nodes/run/node-run.ts";
import type { NodeRole, Role } from "../../protocol/subjects.ts";
import { freePorts } from "./free-ports.ts";
import { temporaryDirectory } from "./temp.ts";
import { until } from "./until.ts";

export interface ClusterOptions {
  /** Default 3. */
  readonly brokers?: 1 | 2 | 3;
  /** A nats-server to start instead of the one that is found. */
  readonly program?: string;
}

export interface RunOptions extends Omit<NodeRunOptions, "roles" | "credentials"> {
  /** Only these servers (by index, from 0) are known to the nodes at first; default: all, in order. */
  readonly servers?: readonly number[];
}

export interface Cluster {
  readonly plan: ClusterPlan;
  /** All servers with commas. */
  readonly url: string;
  /** URL of one server. */
  urlOf(broker: number): string;
  readonly directory: string;
  /** Path of a NATS context file of a role, with these servers, by default all. */
  context(role: Role, servers?: readonly number[]): Promise<string>;
  /** Nodes as `pilot node run` has them: a supervisor in this process, children for the roles. Gone with the test. */
  run(roles: readonly NodeRole[], options?: RunOptions): Promise<RunningNodes>;
  /** A connection with the operator's rights, or an anonymous caller's; closed with the test. */
  operator(servers?: readonly number[]): Promise<Connected>;
  anonymous(servers?: readonly number[]): Promise<Connected>;
  pidOf(broker: number): number;
  /** SIGKILL. */
  kill(broker: number): Promise<void>;
  /** Orderly stop. */
  stop(broker: number): Promise<void>;
  /** Starts one that was killed or stopped, on its port and data. Resolves when it takes clients. */
  restart(broker: number): Promise<void>;
  /** Resolves when every running server knows all others and JetStream has a leader. */
  settled(): Promise<void>;
}

/** Starts the servers; resolves when JetStream answers. All processes end with the test. */
export async function startCluster(t: ExecutionContext, options: ClusterOptions = {}): Promise<Cluster> {
  const directory = await temporaryDirectory(t);
  const found = await findBroker({ allowDownload: true, path: options.program });
  const count = options.brokers ?? 3;
  const ports = await freePorts(2 * count);
  const plan = planCluster(
    Array.from({ length: count }, (_, at) => ({ host: "127.0.0.1", port: ports[at] ?? 0, clusterPort: ports[count + at] ?? 0 })),
  );
  const brokers: (RunningBroker | undefined)[] = [];
  const runs: RunningNodes[] = [];
  const links: Connected[] = [];
  let made = 0;
  let named = 0;

  const start = async (at: number): Promise<void> => {
    const broker = plan.brokers[at];
    if (broker === undefined) throw new RangeError(`there is no server ${at}`);
    const { name, port, cluster } = broker;
    brokers[at] = await startBroker({
      path: found.path,
      version: found.version,
      directory: join(directory, name),
      port,
      users: plan.users,
      system: plan.system,
      serverName: name,
      ...(count > 1 && { cluster }),
    });
  };
  const end = async (at: number, how: "stop" | "kill"): Promise<void> => {
    const broker = brokers[at];
    brokers[at] = undefined;
    if (how === "stop") await broker?.stop();
    else broker?.kill();
    await broker?.exited;
  };
  t.teardown(async () => {
    await Promise.all(links.map((link) => link.nc.close()));
    for (const nodes of runs) nodes.kill();
    await Promise.all(runs.map((nodes) => nodes.done.catch(() => undefined)));
    await Promise.all(brokers.map((_, at) => end(at, "kill")));
  });
  await Promise.all(plan.brokers.map((_, at) => start(at)));

  const urlOf = (at: number): string => `nats://127.0.0.1:${plan.brokers[at]?.port ?? 0}`;
  const urlsOf = (servers: readonly number[] = [...plan.brokers.keys()]): string => servers.map(urlOf).join(",");
  const context = async (role: Role, servers?: readonly number[]): Promise<string> => {
    const user = plan.users.find((one) => one.role === role);
    if (user === undefined) throw new RangeError(`no user for ${role}`);
    const path = join(directory, `${role}-${++made}.json`);
    await replaceFile(path, JSON.stringify(contextOf(urlsOf(servers), user)));
    return path;
  };
  const link = async (role: "operator" | "anonymous", servers?: readonly number[]): Promise<Connected> => {
    const settings =
      role === "anonymous"
        ? { servers: urlsOf(servers).split(",") }
        : await resolveConnection({ context: await context(role, servers) }, {});
    const connected = await connect(settings, { name: `test ${role}`, role, node: `test-${++made}`, patient: true, ordered: true });
    links.push(connected);
    return connected;
  };
  const settled = async (): Promise<void> => {
    const running = brokers.flatMap((broker, at) => (broker === undefined ? [] : [at]));
    for (const at of running) {
      const { nc } = await link("operator", [at]);
      await until(
        async () => {
          const jsm = await nc.jetstreamManager({ timeout: 1_000 });
          await jsm.getAccountInfo();
          return (nc.info?.connect_urls?.length ?? 1) >= running.length || count === 1;
        },
        `JetStream of server ${at} and all ${running.length} servers known there`,
        30_000,
      );
      await nc.close();
    }
  };
  await settled();

  return {
    plan,
    url: plan.url,
    urlOf,
    directory,
    context,
    async run(roles, { servers, ...rest } = {}) {
      const contexts = join(directory, `contexts-${++made}`);
      await (await openDirectory(contexts, [], "the contexts", "")).release();
      for (const role of roles) {
        const user = plan.users.find((one) => one.role === role);
        if (user !== undefined) await replaceFile(join(contexts, `${role}.json`), JSON.stringify(contextOf(urlsOf(servers), user)));
      }
      const name = rest.name ?? `n${++named}`;
      const nodes = await runNodes({ data: join(directory, `node ${name}`), name, ...rest, roles, credentials: { contexts } });
      runs.push(nodes);
      return nodes;
    },
    operator: (servers) => link("operator", servers),
    anonymous: (servers) => link("anonymous", servers),
    pidOf: (at) => brokers[at]?.pid ?? 0,
    kill: (at) => end(at, "kill"),
    stop: (at) => end(at, "stop"),
    restart: (at) => start(at),
    settled,
  };
}
