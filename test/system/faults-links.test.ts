/** Cut cables: brokers, schedulers and hosts in network namespaces of their own, of which one is cut off and comes back. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import anyTest, { type ExecutionContext, type TestFn } from "ava";
import { writeCluster } from "../../nodes/io/broker/cluster-files.ts";
import { findBroker } from "../../nodes/io/broker/find.ts";
import { resolveConnection } from "../../nodes/io/context.ts";
import { type Connected, connect } from "../../nodes/io/nats.ts";
import { type RunningNodes, runNodes } from "../../nodes/run/node-run.ts";
import { showFleet } from "../../protocol/messages/fleet.ts";
import type { NodeRole } from "../../protocol/subjects.ts";
import { type ChaosCall, type ChaosLoad, deployChaos, HELD_MS, KINDS, startChaos } from "../support/chaos-load.ts";
import { takeSeat } from "../support/chaos-seat.ts";
import { PATIENCE_MS } from "../support/faults.ts";
import { type Network, namespaceOf, noNamespaces, openNetwork } from "../support/namespaces.ts";
import { seededRandom } from "../support/random.ts";
import { temporaryDirectory } from "../support/temp.ts";
import { until } from "../support/until.ts";

const missing = noNamespaces();
const test = (missing === undefined ? anyTest.serial : anyTest.serial.skip) as unknown as TestFn<never>;
const NAMESPACED = fileURLToPath(new URL("../support/namespaced-node.js", import.meta.url));
const PER_SECOND = 25;
/** Shorter and longer than a host may be silent; the longer one also than the broker keeps a silent connection. */
const SHORT_MS = 1_000;
const LONG_MS = 8_000;

interface Cell {
  readonly network: Network;
  readonly operator: Connected;
  readonly load: ChaosLoad;
  /** Everything worked from this time on. */
  readonly began: number;
  /** Ids of nodes and names of brokers, by what they are. */
  readonly names: { readonly brokers: readonly string[]; readonly schedulers: readonly string[]; readonly hosts: readonly string[] };
  pidOf(node: string): number | undefined;
  /** Cuts it off for so long; resolves when it is back on the network. Gives the two moments. */
  away(name: string, ms: number): Promise<{ readonly from: number; readonly to: number }>;
  /** Resolves when each kind of short call made after this moment was answered; gives the ms that took. */
  well(since: number): Promise<number>;
}

async function startCell(t: ExecutionContext<never>, brokers: number): Promise<Cell> {
  const mark = randomBytes(2).toString("hex");
  const names = {
    brokers: Array.from({ length: brokers }, (_, at) => `broker-${mark}${at}`),
    schedulers: ["a", "b"].map((one) => `scheduler-${mark}${one}`),
    hosts: ["a", "b"].map((one) => `host-${mark}${one}`),
  };
  const frontends = ["a", "b"].map((one) => `frontend-${mark}${one}`);
  const nodes = [...names.schedulers, ...frontends, ...names.hosts];
  const directory = await temporaryDirectory(t as unknown as ExecutionContext);
  const network = openNetwork(t as unknown as ExecutionContext, [...names.brokers, ...nodes]);
  const { configs, contexts, url } = await writeCluster({
    directory: join(directory, "cluster"),
    storage: join(directory, "data"),
    brokers: names.brokers.map((name) => ({ host: network.addressOf(name), port: 4_222, clusterPort: 6_222 })),
  });
  const { path } = await findBroker({ allowDownload: true });
  const servers: ChildProcess[] = configs.map((config, at) =>
    spawn("nsenter", [`--net=${namespaceOf(names.brokers[at] ?? "")}`, path, "-c", config], { stdio: "ignore" }),
  );
  t.teardown(async () => {
    for (const server of servers) server.kill("SIGKILL");
    await until(() => servers.every((one) => one.exitCode !== null || one.signalCode !== null), "the end of the brokers", PATIENCE_MS);
  });
  const dial = async (role: "operator" | "anonymous", node: string) => {
    const settings =
      role === "operator" ? await resolveConnection({ context: contexts["operator"] ?? "" }, {}) : { servers: url.split(",") };
    const connected = await connect(settings, { name: `test ${node}`, role, node, patient: true, ordered: true });
    t.teardown(() => connected.nc.close());
    return connected;
  };
  const operator = await dial("operator", "test-operator");
  await until(async () => (await operator.nc.jetstreamManager({ timeout: 1_000 })).getAccountInfo(), "JetStream to answer", PATIENCE_MS);
  const running = new Map<string, RunningNodes>();
  t.teardown(async () => {
    for (const one of running.values()) one.kill();
    await Promise.all([...running.values()].map((one) => one.done.catch(() => undefined)));
  });
  for (const node of nodes) {
    const [role = "", name = ""] = node.split("-");
    const data = join(directory, node);
    const options = { name, data, warm: { node: 1, python: 1 }, entry: () => NAMESPACED };
    running.set(
      node,
      await runNodes({ roles: [role as NodeRole], credentials: { contexts: join(directory, "cluster", "contexts") }, ...options }),
    );
  }
  await deployChaos(operator);
  const listeners = await Promise.all(["one", "two"].map(async (one) => (await dial("anonymous", `listener-${one}`)).nc));
  const load = await startChaos([takeSeat(await dial("anonymous", "caller"))], listeners, seededRandom(1), PER_SECOND);
  t.teardown(() => load.stop());
  const well = async (since: number): Promise<number> => {
    const kinds = KINDS.filter((kind) => kind !== "long");
    const firsts = () =>
      kinds.map(
        (kind) => load.calls.find((call) => call.kind === kind && call.at >= since && call.end === "")?.endedAt ?? Number.POSITIVE_INFINITY,
      );
    await until(() => firsts().every(Number.isFinite), "an answer of each kind", PATIENCE_MS);
    return Math.round(Math.max(...firsts()) - since);
  };
  await well(0);
  return {
    began: performance.now(),
    network,
    operator,
    load,
    names,
    pidOf: (node) => running.get(node)?.pidOf(node),
    well,
    async away(name, ms) {
      const from = performance.now();
      network.cut(name);
      const back = from + ms;
      await until(() => performance.now() > back, `${ms} ms`, PATIENCE_MS);
      network.heal(name);
      return { from, to: performance.now() };
    },
  };
}

/** What was sent into the silence, or was young or held when it began, may hear nothing. */
const silenced = (why: string, { from, to }: { readonly from: number; readonly to: number }, before: number, direct = false) => ({
  why,
  at: from,
  covers: (call: ChaosCall) =>
    call.at <= to + 1_500 && call.at >= from - before && (!direct || (call.kind !== "placed" && call.kind !== "long")),
});

const whole = ({ operator, names }: Cell) =>
  until(
    async () => {
      const { hosts, silent, waiting } = await operator.bus.ask(showFleet, [], {});
      return hosts.length === names.hosts.length && silent.length === 0 && Object.keys(waiting).length === 0;
    },
    "all hosts in the fleet, and no call that waits",
    PATIENCE_MS,
  );
const note = missing === undefined ? "" : ` (skipped: ${missing})`;

test(`a host and a scheduler whose link is cut, for shorter and for longer than they may be silent: nothing runs twice or late, and both are part of it again${note}`, async (t) => {
  t.timeout(300_000);
  const cell = await startCell(t, 1);
  const [host = "", scheduler = ""] = [cell.names.hosts[0] ?? "", cell.names.schedulers[0] ?? ""];
  const excuses = [];
  for (const [name, ms] of [
    [host, SHORT_MS],
    [host, LONG_MS],
    [scheduler, LONG_MS],
  ] as const) {
    const life = cell.pidOf(name);
    const span = await cell.away(name, ms);
    const during = await cell.well(span.from);
    // Its own life after it: a host that was declared lost ends, whoever was away for a moment only goes on.
    if (name === host && ms === LONG_MS)
      await until(() => ![undefined, life].includes(cell.pidOf(name)), "the host to end and come again", PATIENCE_MS);
    await whole(cell);
    const after = await cell.well(span.to);
    t.log(
      `seen: ${name.split("-")[0]} cut off for ${ms} ms: each kind answered after ${during} ms, whole ${after} ms after; calls ${JSON.stringify(cell.load.tally(span.from - 1_000))}`,
    );
    if (name === scheduler || ms === SHORT_MS) t.is(cell.pidOf(name), life, `${name} went on`);
    // Direct calls that were sent to a host which nobody has missed yet.
    if (name === host) excuses.push(silenced(`cut of ${name}`, span, 1_500, true));
  }
  await cell.load.stop();
  t.log(`seen: ${cell.load.calls.length} calls: ${JSON.stringify(cell.load.tally())}`);
  t.deepEqual(cell.load.wrong(excuses, cell.began), []);
});

test(`a broker of three that is cut off from the two others and from all nodes: they go on with the two, nothing runs twice, and it is part of it again${note}`, async (t) => {
  t.timeout(300_000);
  const cell = await startCell(t, 3);
  const broker = cell.names.brokers[0] ?? "";
  const from = performance.now();
  cell.network.cut(broker);
  // While it is away, and not because it is back.
  const during = await cell.well(from);
  cell.network.heal(broker);
  const healed = performance.now();
  await whole(cell);
  const after = await cell.well(healed);
  t.log(
    `seen: each kind answered ${during} ms after the cut, and ${after} ms after it was mended; calls ${JSON.stringify(cell.load.tally(from - 1_000))}`,
  );
  await cell.load.stop();
  t.log(`seen: ${cell.load.calls.length} calls: ${JSON.stringify(cell.load.tally())}`);
  // All sat on that server: what was under way in the silence is lost with it.
  t.deepEqual(cell.load.wrong([silenced("cut of a broker", { from, to: Math.min(healed, from + LONG_MS) }, HELD_MS)], cell.began), []);
});
