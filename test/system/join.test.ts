/**
 * Machines of every role join and leave under full load, on two and three servers: nothing is lost and nothing runs twice.
 * PILOT_JOIN_ROUNDS says how often.
 */
import test, { type ExecutionContext } from "ava";
import { publish } from "../../cli/publish.ts";
import { bundleSource } from "../../nodes/io/bundle/index.ts";
import type { Connected } from "../../nodes/io/nats.ts";
import type { RunningNodes } from "../../nodes/run/node-run.ts";
import { showFleet } from "../../protocol/messages/fleet.ts";
import { provisionContainer } from "../../protocol/messages/host.ts";
import { inspectNode } from "../../protocol/messages/inspect.ts";
import { type ClosedLoad, closedLoad, TELLS } from "../support/closed-load.ts";
import { type Cluster, startCluster } from "../support/cluster.ts";
import { until } from "../support/until.ts";

const ROUNDS = Number(process.env["PILOT_JOIN_ROUNDS"] ?? 2);
const WARM = { node: 2, python: 0 };
/** Answers between one change and the next. */
const ANSWERS = 1_000;
const STEP_MS = 60_000;
/** Calls under way of each of two callers, one in four of them placed. */
const LANES = 16;
const CALLED = ["granted", "granted", "granted", "placed"];
/** So few that one host has them all, but for those that are readied on one that joins. */
const CONTAINERS = 4;
const MEMORY_MB = 128;

class Rounds {
  readonly #brokers: number;
  readonly #cluster: Cluster;
  readonly #operator: Connected;
  readonly #load: ClosedLoad;
  #scheduler: RunningNodes;

  constructor(brokers: number, cluster: Cluster, operator: Connected, load: ClosedLoad, scheduler: RunningNodes) {
    this.#brokers = brokers;
    this.#cluster = cluster;
    this.#operator = operator;
    this.#load = load;
    this.#scheduler = scheduler;
  }

  async flows(): Promise<void> {
    const before = this.#load.answered;
    await until(() => this.#load.answered > before + ANSWERS, `${ANSWERS} more answers`, STEP_MS);
  }

  /** One node of each role comes, is seen to do its part, and goes; the schedulers take turns. */
  async round(nth: number): Promise<void> {
    // All servers, and those on which the others do not sit.
    const where = nth % 2 === 0 ? {} : { servers: [this.#brokers - 1] };
    const host = await this.#cluster.run(["host"], { name: `h${nth}`, warm: WARM, ...where });
    const [hostId = ""] = host.nodes;
    await this.#ready(hostId);
    await this.flows();
    await until(() => (this.#load.hosts.get(hostId) ?? 0) > 0, `${hostId} runs calls`, STEP_MS);
    const frontend = await this.#cluster.run(["frontend"], { name: `f${nth}`, ...where });
    await this.#holds(frontend.nodes[0], "calls");
    await this.#takeTurns(nth);
    await this.flows();
    await host.stop();
    await this.flows();
    await frontend.stop();
    await this.flows();
  }

  /** Another scheduler comes, and the one that led and kept goes. */
  async #takeTurns(nth: number): Promise<void> {
    const next = await this.#cluster.run(["scheduler"], { name: `s${nth}` });
    const [id] = next.nodes;
    await this.flows();
    await this.#scheduler.stop();
    this.#scheduler = next;
    const leads = async (): Promise<boolean> => {
      const { nodes } = await this.#operator.bus.ask(showFleet, [], {});
      return nodes.some((node) => node.id === id && node.leads?.includes("busy") === true);
    };
    await until(leads, `${id} leads`, STEP_MS);
    await this.#holds(id, "sent");
  }

  async #holds(node: string | undefined, what: string): Promise<void> {
    const look = async (): Promise<boolean> => ((await this.#operator.bus.ask(inspectNode, [node ?? ""], {})).held[what] ?? 0) > 0;
    await until(look, `${node} holds ${what}`, STEP_MS);
  }

  /** Containers of both functions on that host. */
  async #ready(host: string): Promise<void> {
    for (const name of ["granted", "placed"]) {
      const order = { account: "main", function: name, version: 1, memoryMb: MEMORY_MB, keepAliveMs: 600_000, rung: "warm" } as const;
      // Its warm instances may still boot.
      const made = () => this.#operator.bus.ask(provisionContainer, [host], order).catch(() => undefined);
      await until(async () => (await made()) !== undefined, `a container of ${name} on ${host}`, STEP_MS);
    }
  }
}

/** A cluster with what stays, and a granted and a placed function. */
async function openCluster(t: ExecutionContext, brokers: 2 | 3): Promise<Rounds & { readonly load: ClosedLoad }> {
  const cluster = await startCluster(t, { brokers });
  const scheduler = await cluster.run(["scheduler"], { name: "first" });
  await cluster.run(["frontend", "host"], { name: "stays", warm: WARM });
  const operator = await cluster.operator();
  const bundle = await bundleSource(TELLS, "node");
  const settings = { containers: CONTAINERS, memoryMb: MEMORY_MB };
  await publish(operator, bundle, { account: "main", name: "granted", settings: { ...settings, class: "busy" } });
  await publish(operator, bundle, { account: "main", name: "placed", settings: { ...settings, class: "rare" } });
  // Callers sit on the nodes' server and on another.
  const callers = await Promise.all([cluster.anonymous([0]), cluster.anonymous([1])]);
  const load = await closedLoad(await cluster.operator([1]), callers, CALLED, LANES);
  return Object.assign(new Rounds(brokers, cluster, operator, load, scheduler), { load });
}

for (const brokers of [2, 3] as const) {
  test.serial(
    `hosts, frontends and schedulers join and leave a cluster of ${brokers} servers under load: nothing is lost and nothing runs twice`,
    async (t) => {
      t.timeout(120_000 + ROUNDS * 240_000);
      const rounds = await openCluster(t, brokers);
      await rounds.flows();
      for (let nth = 0; nth < ROUNDS; nth += 1) await rounds.round(nth);
      const account = await rounds.load.stop();
      t.log(`${account.calls} calls, ${account.perSecond.toFixed(0)} a second, paths ${JSON.stringify(account.paths)}`);
      t.deepEqual(account.lost, []);
      t.deepEqual(account.doubled, []);
    },
  );
}
