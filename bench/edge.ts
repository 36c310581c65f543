/** What do rights, certificates and a cluster of servers cost a warm call? */
import { join } from "node:path";
import { type RunningNodes, runNodes } from "../nodes/run/node-run.ts";
import { ratio, spread } from "./engine/figures.ts";
import { type Floor, startFloor } from "./engine/floor.ts";
import { ECHO } from "./engine/handlers.ts";
import { type Call, closedLoop, type Sample } from "./engine/load.ts";
import { type Platform, platformOn } from "./engine/platform.ts";
import { type Answer, type Effort, type Figure, figure, type Question } from "./engine/question.ts";
import { interleave, type Subject } from "./engine/rounds.ts";
import { type Servers, startServers } from "./engine/servers.ts";
import { type Sum, sumUp } from "./engine/sum.ts";

const ACCOUNT = "bench";
const NAME = "echo";
const SIZE = 1_024;

/** The first is what the others are measured against. */
const EDGES = [
  { name: "open", says: "one server, no rights, no certificates", count: 1, rights: false, tls: false, server: 0 },
  { name: "rights", says: "one server, a credential with rights per role", count: 1, rights: true, tls: false, server: 0 },
  { name: "tls", says: "the same with TLS", count: 1, rights: true, tls: true, server: 0 },
  { name: "cluster", says: "three servers with rights, nodes and caller on one", count: 3, rights: true, tls: false, server: 0 },
  {
    name: "across",
    says: "three servers with rights, the caller on another than the nodes",
    count: 3,
    rights: true,
    tls: false,
    server: 1,
  },
] as const;

interface Edge {
  readonly name: string;
  readonly platform: Platform;
  readonly floor: Floor;
}

export const edge: Question = {
  asks: "What do rights, TLS and a cluster of three servers cost a warm direct call?",
  async measure(effort): Promise<Answer> {
    const sum = sumUp();
    const edges: Edge[] = [];
    try {
      for (const one of EDGES) {
        effort.say(`edge: starting ${one.says}`);
        edges.push(await startEdge(one));
      }
      const figures: Figure[] = [];
      for (const inFlight of [1, 64]) {
        effort.say(`edge: ${inFlight} in flight`);
        figures.push(...(await compare(edges, inFlight, effort, sum)));
      }
      return {
        figures,
        lost: sum.lost,
        doubled: edges.reduce((total, { platform }) => total + platform.caller.doubled, 0) + sum.wrong,
        ...(edges[0] !== undefined && { broker: edges[0].platform.broker }),
        notes: [
          ...sum.notes(),
          ...EDGES.map(({ name, says }) => `${name}: ${says}`),
          "each has a scheduler, a frontend and a host of its own; the others stand idle meanwhile; the floor is a bare request over the same servers",
        ],
      };
    } finally {
      for (const { floor, platform } of edges.reverse()) {
        await floor.stop();
        await platform.stop();
      }
    }
  },
};

async function startEdge({ name, server, ...order }: (typeof EDGES)[number]): Promise<Edge> {
  const servers = await startServers(order);
  const nodes = await runNodes({
    roles: ["scheduler", "frontend", "host"],
    name: `bench-${name}`,
    credentials: { contexts: servers.contexts },
    temporary: true,
    warm: { node: 1, python: 0 },
  }).catch(async (thrown: unknown) => {
    await servers.stop();
    throw thrown;
  });
  const platform = await platformOn({
    nats: servers.url,
    broker: servers.version,
    context: await servers.context("operator", server),
    parts: nodes.nodes,
    pidOf: (node) => nodes.pidOf(node),
    stop: () => stopAll(servers, nodes),
  });
  try {
    await platform.deploy(ACCOUNT, NAME, { source: ECHO, runtime: "node" }, { class: "busy", containers: 4 });
    await closedLoop(platform.calls(ACCOUNT, NAME), { inFlight: 16, size: SIZE, ms: 1_000 });
    await platform.untilFleet("a grant", (host) => host.grants.length > 0);
    // The subscriber of the floor sits where the nodes sit.
    return { name, platform, floor: await startFloor(join(servers.contexts, "operator.json"), platform.caller) };
  } catch (thrown) {
    await platform.stop();
    throw thrown;
  }
}

async function stopAll(servers: Servers, nodes: RunningNodes): Promise<void> {
  await nodes.stop();
  await servers.stop();
}

async function compare(edges: readonly Edge[], inFlight: number, effort: Effort, sum: Sum): Promise<Figure[]> {
  const subject = (name: string, call: Call): Subject<Sample> => ({
    name,
    measure: async (ms) => sum.add(await closedLoop(call, { inFlight, size: SIZE, ms })),
  });
  const results = await interleave(
    edges.flatMap(({ name, platform, floor }) => [
      subject(`floor ${name}`, floor.call),
      subject(`direct ${name}`, platform.calls(ACCOUNT, NAME)),
    ]),
    effort,
  );
  const of = (name: string, key: "p50" | "perSecond"): number[] => (results.get(name) ?? []).map((sample) => sample[key]);
  const figures: Figure[] = [];
  const label = `${inFlight} in flight, 1 KiB`;
  for (const what of ["floor", "direct"]) {
    figures.push(
      figure(`${what} p50, open, ${label}`, "ms", spread(of(`${what} open`, "p50"))),
      figure(`${what} throughput, open, ${label}`, "/s", spread(of(`${what} open`, "perSecond"))),
    );
    for (const { name } of EDGES.slice(1)) {
      figures.push(
        figure(`${what} p50, ${name} / open, ${label}`, "x", ratio(of(`${what} ${name}`, "p50"), of(`${what} open`, "p50"))),
        figure(
          `${what} throughput, ${name} / open, ${label}`,
          "x",
          ratio(of(`${what} ${name}`, "perSecond"), of(`${what} open`, "perSecond")),
        ),
      );
    }
  }
  return figures;
}
