/** Three brokers, two frontends, two schedulers, three hosts as processes of their own, and every way in which one of them may fail. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ExecutionContext } from "ava";
import { connect as dial } from "nats";
import { processTable } from "../../nodes/io/sandbox/process-table.ts";
import type { RunningNodes } from "../../nodes/run/node-run.ts";
import type { NodeRole } from "../../protocol/subjects.ts";
import { type ChaosCall, type Excuse, HELD_MS } from "./chaos-load.ts";
import { type Cluster, startCluster } from "./cluster.ts";
import { keepLogs, PATIENCE_MS, spawnerOf } from "./faults.ts";
import { until } from "./until.ts";

const UNWATCHED = fileURLToPath(new URL("./unwatched-node.js", import.meta.url));
export const BROKERS = [0, 1, 2] as const;
const NODES: readonly (readonly [NodeRole, string])[] = [
  ["scheduler", "a"],
  ["scheduler", "b"],
  ["frontend", "a"],
  ["frontend", "b"],
  ["host", "a"],
  ["host", "b"],
  ["host", "c"],
];
/** A node that ends more than five times in half a minute ends its form, as it should. */
const MOST_ENDS = 4;
const ENDS_WINDOW_MS = 30_000;
/** A direct call this young may not have been reported yet: the promise is 250 ms, and the machine may be slow. */
const YOUNG_MS = 1_500;
/** The broker sees the end of a process at once, of a stopped one after two unanswered pings (3 s, seen up to 4); the machine may be slow. */
const NOTICED_MS = { ended: 1_500, stopped: 6_000 };

export type How = "kill" | "nap" | "sleep" | "broker kill" | "broker restart";
export interface Blow {
  readonly how: How;
  readonly victim: string;
  /** On the clock of performance.now(). */
  readonly at: number;
  /** When it was back, or awake. */
  readonly backAt: number;
}

export interface ChaosFleet {
  readonly cluster: Cluster;
  /** Strikes, and resolves when the victim is back or awake. */
  strike(how: How, pick: <T>(from: readonly T[]) => T): Promise<Blow>;
  /** Pids of all nodes and their wrappers now. */
  pids(): number[];
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
  for (const [role, name] of NODES)
    running.set(
      `${role}-${name}`,
      await cluster.run([role], {
        name,
        data: join(cluster.directory, `${role} ${name}`),
        warm: { node: 1, python: 1 },
        entry: () => UNWATCHED,
      }),
    );
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
    pids: () => [...running.keys()].flatMap((node) => [wrapperOf(node) ?? [], innerOf(node) ?? []].flat()),
    async strike(how, pick) {
      const at = performance.now();
      const blow = (victim: string): Blow => ({ how, victim, at, backAt: performance.now() });
      if (how === "kill") return blow(await killNode(pick));
      if (how === "nap" || how === "sleep") {
        const node = pick(living());
        await stopNode(node, how === "nap" ? 1_000 : 6_000);
        return blow(node);
      }
      const { at: broker, name } = await brokerOf(pick);
      await (how === "broker kill" ? cluster.kill(broker) : cluster.stop(broker));
      await away(how === "broker kill" ? 2_000 : 200);
      await cluster.restart(broker);
      await cluster.settled();
      return blow(name);
    },
  };
}

/** Which server leads JetStream's own group, as the system account is told; undefined while none does. */
async function metaLeader({ plan, url }: Cluster): Promise<string | undefined> {
  const nc = await dial({ servers: url.split(","), user: plan.system.user, pass: plan.system.password });
  try {
    const answer = await nc.request("$SYS.REQ.SERVER.PING.JSZ", "", { timeout: 5_000 });
    return answer.json<{ data?: { meta_cluster?: { leader?: string } } }>().data?.meta_cluster?.leader;
  } finally {
    await nc.close();
  }
}

/** Which calls may hear nothing because of a blow. Everything that is not said here is promised an answer or a typed error. */
export function excuseOf({ how, victim, at, backAt }: Blow): Excuse {
  const noticed = Math.min(backAt, at + (how === "nap" || how === "sleep" ? NOTICED_MS.stopped : NOTICED_MS.ended));
  const why = `${how} of ${victim}`;
  const none: Excuse = { why, at, covers: () => false };
  // What was on its way through a server when it ended; on others nobody lost anything.
  if (how === "broker kill" || how === "broker restart")
    return { why, at, covers: (call) => call.at <= at + NOTICED_MS.ended && call.endedAt > at };
  // What one frontend alone held dies with it; what came to one that sleeps is ended by it when it wakes, unless it slept too long.
  if (victim.startsWith("frontend-") && how !== "nap") return { why, at, covers: (call) => call.at <= noticed && at - call.at <= HELD_MS };
  // Direct calls too young to be known to anybody else, and those that the broker still sent there; `placed` and `long` are never direct.
  if (victim.startsWith("host-") && how !== "nap")
    return {
      why,
      at,
      covers: (call: ChaosCall) => call.kind !== "placed" && call.kind !== "long" && call.at <= noticed && at - call.at <= YOUNG_MS,
    };
  return none;
}
