/** Who leads, when the leader stands still, dies, leaves or loses its broker: grants go on, and a leader that slept is refused. */
import { fileURLToPath } from "node:url";
import anyTest, { type ExecutionContext, type TestFn } from "ava";
import { rendezvous } from "../../actors/kit/rendezvous.ts";
import { publish } from "../../cli/publish.ts";
import { BUCKET } from "../../nodes/io/buckets.ts";
import { bundleSource } from "../../nodes/io/bundle/index.ts";
import { openLease } from "../../nodes/io/lease.ts";
import type { Connected } from "../../nodes/io/nats.ts";
import { processTable } from "../../nodes/io/sandbox/process-table.ts";
import type { RunningNodes } from "../../nodes/run/node-run.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { showFleet } from "../../protocol/messages/fleet.ts";
import { grantFunctions, nodeAnnouncement } from "../../protocol/messages/host.ts";
import { inspectNode } from "../../protocol/messages/inspect.ts";
import { SUBJECT } from "../../protocol/subjects.ts";
import { type Cluster, type ClusterOptions, startCluster } from "../support/cluster.ts";
import { allGone, PATIENCE_MS, treeBelow } from "../support/faults.ts";
import { recordLog } from "../support/record-log.ts";
import { until } from "../support/until.ts";

const test = anyTest.serial as unknown as TestFn<never>;
const ECHO = (version: number): string => `export const handler = (event) => ({ version: ${version}, n: event.n });`;

interface Schedulers {
  readonly cluster: Cluster;
  readonly operator: Connected;
  readonly schedulers: ReadonlyMap<string, RunningNodes>;
  /** Each change of who says that it leads, with when. */
  readonly said: { readonly leaders: readonly string[]; readonly at: number }[];
  leader(): Promise<string>;
  /** Resolves with when another than this one alone said that it leads. */
  successorOf(leader: string): Promise<{ readonly leader: string; readonly at: number }>;
  /** The scheduler's own process, under the one that beats for it. */
  pidOf(scheduler: string): number;
  /** kill -9, for good: its supervisor starts no other. Resolves when it is gone, and nothing that is asked of any scheduler goes there. */
  die(scheduler: string): Promise<void>;
  call(n: number): Promise<{ readonly version: number; readonly isDirect: boolean }>;
  deploy(version: number): Promise<readonly string[]>;
  direct(): Promise<unknown>;
  /** Containers of a function that run a call. */
  busy(name: string): Promise<number>;
  /** Of who leads, as its host has it. */
  epoch(): Promise<number>;
  /** An order without grants under that epoch; gives the newer one by which it is refused. */
  order(leaderEpoch: number): Promise<number | undefined>;
}

/** Two schedulers that nobody watches, a frontend and a host with a busy function. `servers`: of each scheduler, in its order. */
async function start(t: ExecutionContext<never>, options: ClusterOptions, servers?: readonly (readonly number[])[]): Promise<Schedulers> {
  t.timeout(240_000);
  const cluster = await startCluster(t as never, options);
  const entry = (): string => fileURLToPath(new URL("../support/unwatched-node.js", import.meta.url));
  const schedulers = new Map<string, RunningNodes>();
  for (const [at, name] of ["a", "b"].entries()) {
    const own = servers?.[at];
    schedulers.set(`scheduler-${name}`, await cluster.run(["scheduler"], { name, entry, ...(own && { servers: own }) }));
  }
  const operator = await cluster.operator();
  const caller = await cluster.anonymous();
  const said: { leaders: readonly string[]; at: number }[] = [];
  const leading = new Map<string, boolean>();
  operator.bus.hear(nodeAnnouncement, ["scheduler", "*"], ({ node, leads }) => {
    if ((leading.get(node) ?? false) === (leads?.includes("busy") ?? false)) return;
    leading.set(node, leads?.includes("busy") ?? false);
    said.push({ leaders: [...leading].filter(([, leads]) => leads).map(([id]) => id), at: performance.now() });
  });
  await operator.nc.flush();
  await cluster.run(["frontend", "host"], { name: "c", warm: { node: 1, python: 0 } });

  const leaders = async (): Promise<string[]> => {
    const { nodes } = await operator.bus.ask(showFleet, [], {});
    return nodes.filter(({ leads }) => leads?.includes("busy")).map(({ id }) => id);
  };
  const call: Schedulers["call"] = async (n) => {
    const body = new TextEncoder().encode(JSON.stringify({ n }));
    const reply = await caller.caller.call(SUBJECT.fn("main", "echo"), body, { headers: { "Pilot-Trace": "1" }, timeoutMs: 10_000 });
    const { version } = JSON.parse(new TextDecoder().decode(reply.body)) as { version: number };
    return { version, isDirect: reply.headers["Pilot-Path"] === "direct" };
  };
  const all: Schedulers = {
    cluster,
    operator,
    schedulers,
    said,
    leader: async () => {
      const [one] = await until(
        async () => {
          const now = await leaders();
          return now.length === 1 && now;
        },
        "one leader",
        PATIENCE_MS,
      );
      return one ?? "";
    },
    successorOf: (leader) => {
      const from = said.length;
      return until(
        () => {
          for (const { leaders: now, at } of said.slice(from)) for (const other of now) if (other !== leader) return { leader: other, at };
          return undefined;
        },
        `a successor of ${leader}`,
        PATIENCE_MS,
      );
    },
    pidOf(scheduler) {
      const wrapper = schedulers.get(scheduler)?.pidOf(scheduler);
      for (const { pid, parent } of processTable().values()) if (parent === wrapper) return pid;
      throw new Error(`${scheduler} does not run`);
    },
    async die(scheduler) {
      const pid = all.pidOf(scheduler);
      const gone = treeBelow(pid);
      process.kill(pid, "SIGKILL");
      all.schedulers.get(scheduler)?.kill();
      await allGone(gone, scheduler);
      await operator.nc.flush();
    },
    call,
    deploy: async (version) => {
      const bundle = await bundleSource(ECHO(version), "node");
      const deployed = await publish(operator, bundle, { account: "main", name: "echo", settings: { class: "busy" } });
      t.is(deployed.version.version, version);
      return deployed.unconfirmed;
    },
    async busy(name) {
      const { hosts } = await operator.bus.ask(showFleet, [], {});
      const containers = hosts.flatMap(({ instances }) => instances.flatMap((instance) => instance.containers));
      return containers.filter((one) => one.function === name && one.state === "busy").length;
    },
    epoch: async () => (await all.order(0)) ?? 0,
    order: async (leaderEpoch) => (await operator.bus.ask(grantFunctions, ["host-c"], { grants: [], leaderEpoch })).fenced,
    direct: () => until(async () => (await call(0)).isDirect, "a direct answer", PATIENCE_MS),
  };
  t.deepEqual(await all.deploy(1), []);
  await all.direct();
  return all;
}

/** Calls one after the other while `work` goes on; each has to be answered. Gives how many, and how many directly. */
async function calling<R>(all: Schedulers, work: () => Promise<R>): Promise<{ result: R; calls: number; direct: number }> {
  let over = false;
  let calls = 0;
  let direct = 0;
  const load = (async () => {
    while (!over) {
      if ((await all.call(calls++)).isDirect) direct++;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
  try {
    return { result: await work(), calls, direct };
  } finally {
    over = true;
    await load;
  }
}

const share = (direct: number, calls: number): string => `${direct} of ${calls} calls direct`;

test("a leader that stands still is followed by another, grants go on, and when it wakes its orders are refused", async (t) => {
  const all = await start(t, { brokers: 1 });
  const old = await all.leader();
  const epoch = await all.epoch();
  const pid = all.pidOf(old);
  const stopped = performance.now();
  const { result, calls, direct } = await calling(all, async () => {
    process.kill(pid, "SIGSTOP");
    const next = await all.successorOf(old);
    // What the sleeper gave has run out by then: all that is direct is by the successor's grants.
    await until(() => performance.now() - next.at > LIMITS.grantLife.value + 500, "the end of the sleeper's grants", PATIENCE_MS);
    await all.direct();
    return next;
  });
  t.not(result.leader, old);
  t.log(`seen: another led ${Math.round(result.at - stopped)} ms after the leader stood still; ${share(direct, calls)} meanwhile`);
  t.deepEqual(await all.deploy(2), []);
  process.kill(pid, "SIGCONT");
  const woken = performance.now();
  await until(() => all.said.at(-1)?.leaders.join() === result.leader, "the sleeper to step down", PATIENCE_MS);
  t.log(`seen: it stepped down ${Math.round((all.said.at(-1)?.at ?? 0) - woken)} ms after it woke`);
  t.is(await all.leader(), result.leader);
  // What it would have ordered before it knew. Its broker may have dropped it in its sleep; then it knew first.
  t.true(((await all.order(epoch)) ?? 0) > epoch);
  t.is(await all.order(await all.epoch()), undefined);
  for (let n = 0; n < 50; n++) t.is((await all.call(n)).version, 2);
  await all.direct();
});

test("a leader that is killed is followed by another, and deploys hold meanwhile", async (t) => {
  const all = await start(t, { brokers: 1 });
  const old = await all.leader();
  const began = performance.now();
  const { result, calls, direct } = await calling(all, async () => {
    const successor = all.successorOf(old);
    await all.die(old);
    // Its grants stand still, and nobody knows them.
    t.deepEqual(await all.deploy(2), []);
    for (let n = 0; n < 20; n++) t.is((await all.call(n)).version, 2);
    return successor;
  });
  t.log(`seen: another led ${Math.round(result.at - began)} ms after the leader was killed; ${share(direct, calls)} meanwhile`);
  await all.direct();
  t.is((await all.call(0)).version, 2);
});

test("a leader that leaves hands over at once, and one that is killed and starts again leads again at once", async (t) => {
  const all = await start(t, { brokers: 1 });
  const old = await all.leader();
  const began = performance.now();
  const { result, calls, direct } = await calling(all, async () => {
    const next = all.successorOf(old);
    await all.schedulers.get(old)?.stop();
    return next;
  });
  t.log(`seen: another led ${Math.round(result.at - began)} ms after the leader was asked to stop; ${share(direct, calls)} meanwhile`);
  // It is left alone, and its supervisor starts it again under its name.
  const epoch = await all.epoch();
  const killed = performance.now();
  process.kill(all.pidOf(result.leader), "SIGKILL");
  await until(async () => (await all.epoch()) > epoch, "it to lead again", PATIENCE_MS);
  t.log(`seen: it led again ${Math.round(performance.now() - killed)} ms after it was killed`);
  t.is(await all.leader(), result.leader);
  await all.direct();
});

test("a leader goes on leading when its broker is killed and starts again", async (t) => {
  const all = await start(t, { brokers: 1 });
  const [old, epoch] = [await all.leader(), await all.epoch()];
  await all.cluster.kill(0);
  await all.cluster.restart(0);
  await all.direct();
  t.deepEqual(await all.deploy(2), []);
  // It has renewed its lease by then, or lost it.
  const renewed = performance.now() + LIMITS.leaseTakeover.value + LIMITS.leaseRenew.value;
  await until(() => performance.now() > renewed, "the time of a renewal", PATIENCE_MS);
  t.is(await all.leader(), old);
  t.is(await all.epoch(), epoch);
  await all.direct();
});

test("on three servers a leader goes on through the loss of the server that keeps its lease, and is followed from another one when it dies", async (t) => {
  const servers = [
    [0, 1, 2],
    [1, 2, 0],
  ];
  const all = await start(t, { brokers: 3 }, servers);
  const [old, epoch] = [await all.leader(), await all.epoch()];
  const jsm = await all.operator.nc.jetstreamManager();
  const { cluster } = await jsm.streams.info(`KV_${BUCKET.leases}`);
  const keeping = all.cluster.plan.brokers.findIndex(({ name }) => name === cluster?.leader);
  t.true(keeping >= 0);
  const lease = await openLease(all.operator.nc, recordLog());
  await all.cluster.kill(keeping);
  const killed = performance.now();
  const before = await until(() => lease.read("busy"), "the lease", PATIENCE_MS);
  await until(async () => (await lease.read("busy"))?.revision !== before.revision, "a renewal", PATIENCE_MS);
  t.log(`seen: the lease was renewed ${Math.round(performance.now() - killed)} ms after the server that kept it was killed`);
  t.is(await all.leader(), old);
  t.is(await all.epoch(), epoch);
  await all.direct();

  const began = performance.now();
  const successor = all.successorOf(old);
  await all.die(old);
  t.log(`seen: another led ${Math.round((await successor).at - began)} ms after the leader was killed`);
  await all.direct();
  t.true((await all.epoch()) > epoch);
});

test("calls that wait at a keeper that dies for good wait at the other scheduler within moments, though that is on another server", async (t) => {
  const servers = [
    [0, 1, 2],
    [1, 2, 0],
  ];
  const all = await start(t, { brokers: 3 }, servers);
  const source = "export const handler = ({ ms }) => new Promise((resolve) => setTimeout(() => resolve(ms), ms));";
  const settings = { class: "rare", containers: 1 } as const;
  await publish(all.operator, await bundleSource(source, "node"), { account: "main", name: "single", settings });
  const keeper = rendezvous("main.single", [...all.schedulers.keys()]) ?? "";
  const { caller } = await all.cluster.anonymous([2, 1, 0]);
  const call = async (ms: number): Promise<string> => {
    const body = new TextEncoder().encode(JSON.stringify({ ms }));
    const reply = await caller.call(SUBJECT.fn("main", "single"), body, { headers: { "Pilot-Deadline": "60000" }, timeoutMs: 90_000 });
    return new TextDecoder().decode(reply.body);
  };
  const waiting = async (scheduler: string): Promise<number> =>
    (await all.operator.bus.ask(inspectNode, [scheduler], {}, 1_000)).held["waiting"] ?? 0;
  const other = [...all.schedulers.keys()].find((id) => id !== keeper) ?? "";
  // Runs so long that no frontend sends another call behind one.
  t.is(await call(800), "800");
  const calls = [call(12_000)];
  await until(async () => (await all.busy("single")) === 1, "the long call to run", PATIENCE_MS);
  for (let n = 1; n <= 5; n++) calls.push(call(n));
  await until(async () => (await waiting(keeper)) >= 4, "calls that wait at the keeper", PATIENCE_MS);
  const began = performance.now();
  await all.die(keeper);
  await until(async () => (await waiting(other)) >= 4, "calls that wait at the other scheduler", PATIENCE_MS);
  t.log(`seen: they waited at the other scheduler ${Math.round(performance.now() - began)} ms after their keeper was killed`);
  t.deepEqual(await Promise.all(calls), ["12000", "1", "2", "3", "4", "5"]);
});
