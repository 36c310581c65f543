/**
 * Upgrades under load: every node in turn is stopped in order and another started in its place, while callers that try
 * nothing twice call all the time; then the same with the servers of the broker. `PILOT_UPGRADE_FROM` names the root of another
 * release (built), whose nodes the first test replaces by the present ones, and these by that release's again.
 */
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import type { Connected } from "../../nodes/io/nats.ts";
import { startTime } from "../../nodes/io/sandbox/process-table.ts";
import type { RunningNodes } from "../../nodes/run/node-run.ts";
import { Fault } from "../../protocol/errors.ts";
import { showFleet } from "../../protocol/messages/fleet.ts";
import { type NodeRole, SUBJECT } from "../../protocol/subjects.ts";
import { type Cluster, type ClusterOptions, startCluster } from "../support/cluster.ts";
import { PATIENCE_MS } from "../support/faults.ts";
import { deployKinds, KINDS, type Kind, type MixedLoad, startLoad } from "../support/mixed-load.ts";
import { until } from "../support/until.ts";

const OTHER = process.env["PILOT_UPGRADE_FROM"];
const PER_SECOND = Number(process.env["PILOT_UPGRADE_RATE"] ?? 40);
/** Shorter than what a drain waits for. */
const LONG_MS = 3_000;
const CALLER_MS = 20_000;

type Nodes = readonly (readonly [NodeRole, string])[];

/** As they start first. */
const NODES: Nodes = [
  ["scheduler", "a"],
  ["scheduler", "b"],
  ["frontend", "a"],
  ["frontend", "b"],
  ["host", "a"],
  ["host", "b"],
];

const inOrder = (...roles: NodeRole[]): Nodes => roles.flatMap((role) => NODES.filter(([of]) => of === role));
/** The orders that docs/operations.md, "Upgrading", tells: whoever is sent something new is upgraded before whoever sends it. */
const FORWARD = inOrder("host", "scheduler", "frontend");
const BACK = inOrder("frontend", "scheduler", "host");

interface Upgraded {
  readonly cluster: Cluster;
  readonly operator: Connected;
  readonly caller: Connected;
  /** Stops one node in order and starts another in its place, with the same id. `root`: of the release to start. */
  replace(role: NodeRole, name: string, root?: string): Promise<void>;
}

/** Two of each role, an operator, and a caller without a credential. */
async function fleetOf(t: ExecutionContext, options: ClusterOptions, root?: string): Promise<Upgraded> {
  const cluster = await startCluster(t, options);
  const running = new Map<string, RunningNodes>();
  const start = async (role: NodeRole, name: string, from?: string): Promise<void> => {
    const entry = from === undefined ? {} : { entry: (of: NodeRole) => join(from, "dist", "nodes", `${of}.js`) };
    running.set(
      `${role}-${name}`,
      await cluster.run([role], { name, data: join(cluster.directory, `${role} ${name}`), warm: { node: 2, python: 1 }, ...entry }),
    );
  };
  for (const [role, name] of NODES) await start(role, name, root);
  const [operator, caller] = [await cluster.operator(), await cluster.anonymous()];
  await deployKinds(operator);
  return {
    cluster,
    operator,
    caller,
    async replace(role, name, from) {
      await running.get(`${role}-${name}`)?.stop();
      await start(role, name, from);
    },
  };
}

/** From now on every kind is answered this often. */
async function progress(load: MixedLoad, times: number): Promise<void> {
  const from = load.calls.length;
  const answered = (kind: string) => load.calls.slice(from).filter((call) => call.kind === kind && call.error === "").length;
  await until(() => KINDS.every((kind) => answered(kind) >= times), `${times} answers of each kind`, PATIENCE_MS);
}

/** How the traced calls were placed, by kind. */
function tally(load: MixedLoad, from = 0): string {
  const counts: Record<string, number> = {};
  for (const { kind, headers } of load.calls.slice(from)) {
    const row = [kind, headers["Pilot-Path"] ?? "untraced", headers["Pilot-Rung"]].join(" ").trim();
    counts[row] = (counts[row] ?? 0) + 1;
  }
  return Object.entries(counts)
    .map(([row, count]) => `${row} ${count}`)
    .sort()
    .join(", ");
}

/** Replaces one after the other, and says of each how many of the calls meanwhile failed. */
async function replaceAll(t: ExecutionContext, fleet: Upgraded, load: MixedLoad, order: Nodes, root?: string): Promise<void> {
  for (const [role, name] of order) {
    const from = load.calls.length;
    const began = performance.now();
    await fleet.replace(role, name, root);
    const ms = Math.round(performance.now() - began);
    await progress(load, 1);
    const made = load.calls.slice(from);
    t.log(
      `${role}-${name}: ${ms} ms, ${made.length} calls, ${made.filter(({ error }) => error !== undefined && error !== "").length} failed`,
    );
  }
}

test.serial("every node of every role is replaced in turn under mixed load: no call fails, none runs twice", async (t) => {
  t.timeout(OTHER === undefined ? 300_000 : 900_000);
  const fleet = await fleetOf(t, { brokers: 1 }, OTHER);
  const load = await startLoad(fleet.caller, { perSecond: PER_SECOND, longMs: LONG_MS, timeoutMs: CALLER_MS });
  t.teardown(() => load.stop());
  await progress(load, 2);
  await replaceAll(t, fleet, load, FORWARD);
  if (OTHER !== undefined) await replaceAll(t, fleet, load, BACK, OTHER);
  await load.stop();
  t.log(`${load.calls.length} calls: ${tally(load)}`);
  t.deepEqual(load.wrong(), []);
});

const instancesOf = async (operator: Connected, account: string | null): Promise<string[]> => {
  const { hosts } = await operator.bus.ask(showFleet, [], {});
  return hosts.flatMap((host) => host.instances.filter((one) => one.account === account).map(({ id }) => id)).sort();
};

test.serial("instances are kept, and hot calls stay hot, when frontends and schedulers are replaced", async (t) => {
  t.timeout(180_000);
  const fleet = await fleetOf(t, { brokers: 1 });
  const load = await startLoad(fleet.caller, { perSecond: PER_SECOND, longMs: 500, timeoutMs: CALLER_MS });
  t.teardown(() => load.stop());
  await progress(load, 3);
  const [active, warm] = [await instancesOf(fleet.operator, "main"), await instancesOf(fleet.operator, null)];
  const from = load.calls.length;
  for (const [role, name] of NODES) if (role !== "host") await fleet.replace(role, name);
  await progress(load, 2);
  const kept = new Set([...(await instancesOf(fleet.operator, "main")), ...(await instancesOf(fleet.operator, null))]);
  await load.stop();
  t.log(`${load.calls.length} calls: ${tally(load, from)}`);
  t.deepEqual(
    [...active, ...warm].filter((id) => !kept.has(id)),
    [],
  );
  // Where everything else is busy too, one or another call may be worth a further container.
  const rungs = load.calls.slice(from).flatMap(({ headers }) => headers["Pilot-Rung"] ?? []);
  t.true(rungs.filter((rung) => rung === "hot").length >= 0.9 * rungs.length);
  t.deepEqual(load.wrong(), []);
});

test.serial("a call that runs longer than a host drains ends as InstanceLost, direct or placed, and is not run again", async (t) => {
  t.timeout(120_000);
  const fleet = await fleetOf(t, { brokers: 1 });
  const ran = new Map<number, number>();
  fleet.caller.bus.listen(SUBJECT.pub("main", "ran"), {}, ({ body }) => {
    const { n } = JSON.parse(new TextDecoder().decode(body)) as { n: number };
    ran.set(n, (ran.get(n) ?? 0) + 1);
  });
  await fleet.caller.nc.flush();
  const call = (kind: Kind, n: number) =>
    fleet.caller.caller.call(SUBJECT.fn("main", kind), new TextEncoder().encode(JSON.stringify({ n, ms: 28_000 })), {
      timeoutMs: PATIENCE_MS,
      headers: { "Pilot-Deadline": "12000" },
    });
  const calls = [call("direct", 1), call("placed", 2)].map((reply) =>
    reply.then(
      () => "answered",
      (thrown: unknown) => Fault.from(thrown).name,
    ),
  );
  await until(() => ran.has(1) && ran.has(2), "both runs", PATIENCE_MS);
  await Promise.all([fleet.replace("host", "a"), fleet.replace("host", "b")]);
  t.deepEqual(await Promise.all(calls), ["InstanceLost", "InstanceLost"]);
  t.deepEqual([...ran.values()], [1, 1]);
});

test.serial(
  "the servers of a cluster of three are let go and started again one by one under mixed load: no call fails, none runs twice",
  async (t) => {
    t.timeout(300_000);
    const fleet = await fleetOf(t, { brokers: 3 });
    const load = await startLoad(fleet.caller, { perSecond: PER_SECOND, longMs: LONG_MS, timeoutMs: CALLER_MS });
    t.teardown(() => load.stop());
    await progress(load, 2);
    for (const at of [2, 1, 0]) {
      const from = load.calls.length;
      const began = performance.now();
      // Lame duck: it takes no new client, and lets the present ones go one after the other.
      process.kill(fleet.cluster.pidOf(at), "SIGUSR2");
      await until(() => startTime(fleet.cluster.pidOf(at)) === undefined, "the end of a server", PATIENCE_MS);
      const ms = Math.round(performance.now() - began);
      await fleet.cluster.stop(at);
      await fleet.cluster.restart(at);
      await fleet.cluster.settled();
      await progress(load, 1);
      const made = load.calls.slice(from);
      t.log(
        `server ${at}: gone after ${ms} ms, ${made.length} calls, ${made.filter(({ error }) => error !== undefined && error !== "").length} failed`,
      );
    }
    await load.stop();
    t.log(`${load.calls.length} calls: ${tally(load)}`);
    t.deepEqual(load.wrong(), []);
  },
);
