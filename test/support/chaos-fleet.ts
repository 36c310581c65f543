/** Three brokers, two frontends, two schedulers, three hosts as processes of their own, and every way in which one of them may fail. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ExecutionContext } from "ava";
import { connect as dial, type NatsConnection } from "nats";
import { processTable } from "../../nodes/io/sandbox/process-table.ts";
import type { RunningNodes } from "../../nodes/run/node-run.ts";
import type { NodeRole } from "../../protocol/subjects.ts";
import type { Blow, How } from "./chaos-excuse.ts";
import { type Seat, takeSeat } from "./chaos-seat.ts";
import { type Cluster, startCluster } from "./cluster.ts";
import { keepLogs, PATIENCE_MS, spawnerOf } from "./faults.ts";
import { until } from "./until.ts";

const UNWATCHED = fileURLToPath(new URL("./unwatched-node.js", import.meta.url));
const BROKERS = [0, 1, 2] as const;
/** Each with the server that it tries first: calls, answers and news cross between servers. */
const NODES: readonly (readonly [role: NodeRole, name: string, first: number])[] = [
  ["scheduler", "a", 0],
  ["scheduler", "b", 1],
  ["frontend", "a", 0],
  ["frontend", "b", 1],
  ["host", "a", 0],
  ["host", "b", 1],
  ["host", "c", 2],
];
/** A node that ends more than five times in half a minute ends its form, as it should. */
const MOST_ENDS = 4;
const ENDS_WINDOW_MS = 30_000;

export interface ChaosFleet {
  readonly cluster: Cluster;
  /** Callers, one on each server at first, that go to another when theirs ends. */
  readonly seats: readonly Seat[];
  /** Connections that hear what is published, one on each server, that go nowhere else. */
  readonly listeners: readonly NatsConnection[];
  /** Strikes, and resolves when the victim is back or awake. */
  strike(how: How, pick: <T>(from: readonly T[]) => T): Promise<Blow>;
}

/** Nodes sit in wrappers that beat in their place, so that one that sleeps is not killed by its supervisor. */
export async function startChaosFleet(t: ExecutionContext): Promise<ChaosFleet> {
  const cluster = await startCluster(t, { brokers: 3 });
  t.teardown(() =>
    keepLogs(
      cluster.directory,
      NODES.map(([role, name]) => `${role} ${name}/logs`),
    ),
  );
  const running = new Map<string, RunningNodes>();
  for (const [role, name, first] of NODES)
    running.set(
      `${role}-${name}`,
      await cluster.run([role], {
        name,
        data: join(cluster.directory, `${role} ${name}`),
        warm: { node: 1, python: 1 },
        servers: from(first),
        entry: () => UNWATCHED,
      }),
    );
  const seats = await Promise.all(BROKERS.map(async (at) => takeSeat(await cluster.anonymous(from(at)))));
  const listeners = await Promise.all(
    BROKERS.map((at) =>
      dial({ servers: cluster.urlOf(at), ignoreClusterUpdates: true, maxReconnectAttempts: -1, reconnectTimeWait: 50, reconnectJitter: 0 }),
    ),
  );
  t.teardown(() => Promise.all(listeners.map((nc) => nc.close())));
  const ends: { readonly node: string; readonly at: number }[] = [];

  const wrapperOf = (node: string): number | undefined => running.get(node)?.pidOf(node);
  /** The node's own process; undefined while there is none. */
  const innerOf = (node: string): number | undefined => {
    const wrapper = wrapperOf(node);
    return wrapper === undefined ? undefined : [...processTable().values()].find((row) => row.parent === wrapper)?.pid;
  };
  const living = (): string[] => {
    const recent = (node: string) => ends.filter((one) => one.node === node && performance.now() - one.at < ENDS_WINDOW_MS).length;
    return [...running.keys()].filter((node) => innerOf(node) !== undefined && recent(node) < MOST_ENDS);
  };
  const another = (node: string, old: number) =>
    until(
      () => wrapperOf(node) !== undefined && innerOf(node) !== undefined && wrapperOf(node) !== old,
      `a successor of ${node}`,
      PATIENCE_MS,
    );

  const killNode = async (pick: <T>(from: readonly T[]) => T): Promise<string> => {
    const node = pick([...living(), "spawner"]);
    if (node === "spawner") {
      const host = pick(living().filter((one) => one.startsWith("host-")));
      const inner = innerOf(host) ?? 0;
      const old = await spawnerOf(inner);
      process.kill(old, "SIGKILL");
      await until(async () => (await spawnerOf(inner)) !== old, "another spawner", PATIENCE_MS);
      return `spawner of ${host}`;
    }
    const old = wrapperOf(node) ?? 0;
    ends.push({ node, at: performance.now() });
    process.kill(innerOf(node) ?? 0, "SIGKILL");
    await another(node, old);
    return node;
  };
  const stopNode = async (node: string, ms: number): Promise<void> => {
    const [inner, wrapper] = [innerOf(node) ?? 0, wrapperOf(node) ?? 0];
    process.kill(inner, "SIGSTOP");
    const awake = performance.now() + ms;
    await until(() => performance.now() > awake, `${ms} ms`, PATIENCE_MS);
    process.kill(inner, "SIGCONT");
    // A host that was declared lost ends, and comes again.
    if (ms > 2_000 && node.startsWith("host-")) {
      ends.push({ node, at: performance.now() });
      await another(node, wrapper);
    }
  };
  const brokerOf = async (pick: <T>(from: readonly T[]) => T): Promise<{ at: number; name: string }> => {
    const leader = await metaLeader(cluster);
    const led = cluster.plan.brokers.findIndex(({ name }) => name === leader);
    const at = pick([...BROKERS, Math.max(led, 0)]);
    return { at, name: `server ${at}${at === led ? ", the leader of JetStream" : ""}` };
  };
  const away = async (ms: number): Promise<void> => {
    const back = performance.now() + ms;
    await until(() => performance.now() > back, `${ms} ms`, PATIENCE_MS);
  };

  return {
    cluster,
    seats,
    listeners,
    async strike(how, pick) {
      let at = performance.now();
      const blow = (victim: string, through: readonly string[] = [], callers: readonly Seat[] = []): Blow => ({
        how,
        victim,
        at,
        backAt: performance.now(),
        through,
        callers,
      });
      if (how === "kill") return blow(await killNode(pick));
      if (how === "nap" || how === "sleep") {
        const node = pick(living());
        await stopNode(node, how === "nap" ? 1_000 : 6_000);
        return blow(node);
      }
      const { at: broker, name } = await brokerOf(pick);
      const through = await nodesOn(cluster, broker);
      const callers = seats.filter(({ server }) => cluster.urlOf(broker).endsWith(server));
      at = performance.now();
      await (how === "broker kill" ? cluster.kill(broker) : cluster.stop(broker));
      await away(how === "broker kill" ? 2_000 : 200);
      await cluster.restart(broker);
      await cluster.settled();
      const places = `with ${[...through, ...callers.map((seat) => `caller ${seats.indexOf(seat)}`)].join(", ") || "nobody"}`;
      return blow(`${name} ${places}`, through, callers);
    },
  };
}

/** All servers, that one first. */
const from = (first: number): number[] => BROKERS.map((at) => (first + at) % BROKERS.length);

const asSystem = async <T>({ plan }: Cluster, url: string, ask: (nc: NatsConnection) => Promise<T>): Promise<T> => {
  const nc = await dial({ servers: url.split(","), user: plan.system.user, pass: plan.system.password, ignoreClusterUpdates: true });
  try {
    return await ask(nc);
  } finally {
    await nc.close();
  }
};

/** Which server leads JetStream's own group, as the system account is told; undefined while none does. */
const metaLeader = (cluster: Cluster): Promise<string | undefined> =>
  asSystem(cluster, cluster.url, async (nc) => {
    const answer = await nc.request("$SYS.REQ.SERVER.PING.JSZ", "", { timeout: 5_000 });
    return answer.json<{ data?: { meta_cluster?: { leader?: string } } }>().data?.meta_cluster?.leader;
  });

/** Nodes whose connection for calls is with that server now. */
const nodesOn = (cluster: Cluster, broker: number): Promise<string[]> =>
  asSystem(cluster, cluster.urlOf(broker), async (nc) => {
    const answer = await nc.request(`$SYS.REQ.SERVER.${nc.info?.server_id}.CONNZ`, "", { timeout: 5_000 });
    const { connections } = answer.json<{ data: { connections: { name?: string }[] } }>().data;
    return connections.flatMap(({ name }) => (name?.endsWith(" calls") ? [name.slice(0, -" calls".length)] : [])).sort();
  });
