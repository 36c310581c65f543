/** The client and the gateway on a cluster of three servers: theirs is killed, all are restarted in turn, and calls go on. */
import { Agent, request as httpRequest } from "node:http";
import test, { type ExecutionContext } from "ava";
import { publish } from "../../cli/publish.ts";
import { connect, type Status } from "../../client/index.ts";
import { bundleSource } from "../../nodes/io/bundle/index.ts";
import { TELLS } from "../support/closed-load.ts";
import { type Cluster, startCluster } from "../support/cluster.ts";
import { freePorts } from "../support/free-ports.ts";
import { until } from "../support/until.ts";

/** The caller's own first; the nodes of the platform sit on the last one while it lives. */
const CALLERS_ORDER = [1, 2, 0];
const NODES_ORDER = [0, 2, 1];
const LANES = 4;
const PATIENCE_MS = 12_000;

async function openCluster(t: ExecutionContext): Promise<Cluster> {
  const cluster = await startCluster(t, { brokers: 3 });
  await cluster.run(["scheduler", "frontend", "host"], { name: "stays", warm: { node: 2, python: 0 }, servers: NODES_ORDER });
  const operator = await cluster.operator();
  await publish(operator, await bundleSource(TELLS, "node"), { account: "main", name: "tells", settings: { class: "rare" } });
  return cluster;
}

interface Load {
  readonly right: number;
  /** Name of each error with the time of its call. */
  readonly errors: readonly { readonly name: string; readonly at: number; readonly message: string }[];
  /** Resolves when so many more calls that were made after this moment were answered. */
  flows(): Promise<void>;
  stop(): Promise<void>;
}

/** Calls one after the other in each lane; `call` gives the text of the answer, or rejects with an error of that name. */
function startLoad(call: (n: number) => Promise<string>): Load {
  const errors: { name: string; at: number; message: string }[] = [];
  const begun = { calls: 0, right: 0, lastRightAt: 0, going: true };
  const lane = async (): Promise<void> => {
    while (begun.going) {
      const n = ++begun.calls;
      const at = performance.now();
      try {
        const text = await call(n);
        if (text !== String(n)) throw new Error(`call ${n} got ${text}`);
        begun.right += 1;
        begun.lastRightAt = Math.max(begun.lastRightAt, at);
      } catch (thrown) {
        const { name, message } = thrown as Error;
        errors.push({ name, at, message });
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  };
  const lanes = Array.from({ length: LANES }, lane);
  return {
    get right() {
      return begun.right;
    },
    errors,
    async flows() {
      const since = performance.now();
      const before = begun.right;
      await until(() => (begun.lastRightAt > since && begun.right > before + 50 ? true : undefined), "calls to be answered", 60_000);
    },
    async stop() {
      begun.going = false;
      await Promise.all(lanes);
    },
  };
}

/** How often each number ran, as far as three listeners on three servers heard. */
async function hearRuns(cluster: Cluster): Promise<() => number[]> {
  const heard = await Promise.all(
    [0, 1, 2].map(async (at) => {
      const { bus, nc } = await cluster.anonymous([at]);
      const runs = new Map<number, number>();
      bus.listen("pilot.pub.main.ran", {}, ({ body }) => {
        const n = Number(new TextDecoder().decode(body));
        runs.set(n, (runs.get(n) ?? 0) + 1);
      });
      await nc.flush();
      return runs;
    }),
  );
  return () => [...new Set(heard.flatMap((runs) => [...runs].filter(([, times]) => times > 1).map(([n]) => n)))];
}

async function strikeAll(t: ExecutionContext, cluster: Cluster, load: Load): Promise<void> {
  await load.flows();
  t.deepEqual(load.errors, []);
  const killedAt = performance.now();
  await cluster.kill(1);
  await load.flows();
  t.log(`seen: calls flow ${Math.round(performance.now() - killedAt)} ms after the server was killed, ${load.errors.length} were lost`);
  await cluster.restart(1);
  await cluster.settled();
  await load.flows();
  for (const at of [2, 0, 1]) {
    await cluster.stop(at);
    await load.flows();
    await cluster.restart(at);
    await cluster.settled();
    await load.flows();
  }
}

test.serial(
  "the client goes on at the next server when its own is killed, and through a restart of all, and sends nothing twice",
  async (t) => {
    t.timeout(300_000);
    const cluster = await openCluster(t);
    const doubled = await hearRuns(cluster);
    const seen: Status[] = [];
    const pilot = await connect({ servers: CALLERS_ORDER.map((at) => cluster.urlOf(at)), onStatus: (status) => void seen.push(status) });
    t.teardown(() => pilot.close({ timeoutMs: 100 }));
    const load = startLoad(async (n) =>
      String(await pilot.invoke("tells", { n }, { deadlineMs: PATIENCE_MS / 2, patienceMs: PATIENCE_MS })),
    );
    t.teardown(() => load.stop());
    await strikeAll(t, cluster, load);
    await load.stop();
    t.true(seen.includes("disconnected") && seen.includes("reconnected"));
    // Only calls whose answer may have been on its way: each lane has one at a time, and there were four blows on two connections.
    for (const { name, message } of load.errors) t.true(name === "InstanceLost" || name === "Unavailable", `${name}: ${message}`);
    t.true(load.errors.length <= LANES * 8, JSON.stringify(load.errors));
    t.deepEqual(doubled(), []);
    t.true(pilot.connected);
  },
);

test.serial(
  "the gateway goes on at the next server when its own is killed, and through a restart of all, and sends nothing twice",
  async (t) => {
    t.timeout(300_000);
    const cluster = await openCluster(t);
    const doubled = await hearRuns(cluster);
    const [port = 0] = await freePorts(1);
    await cluster.run(["gateway"], { name: "edge", http: `127.0.0.1:${port}`, servers: CALLERS_ORDER });
    const agent = new Agent({ keepAlive: true });
    t.teardown(() => agent.destroy());
    const ask = (path: string, method: string, body = ""): Promise<{ status: number; text: string }> =>
      new Promise((resolve, reject) => {
        const headers = { "Pilot-Deadline": String(PATIENCE_MS / 2), "Pilot-Timeout": "4000", "Content-Length": body.length };
        const sent = httpRequest({ host: "127.0.0.1", port, path, method, agent, headers }, (response) => {
          let text = "";
          response.setEncoding("utf8").on("data", (piece: string) => (text += piece));
          response.on("error", reject).on("end", () => resolve({ status: response.statusCode ?? 0, text }));
        });
        sent.on("error", reject);
        sent.end(body);
      });
    const load = startLoad(async (n) => {
      const { status, text } = await ask("/fn/main/tells", "POST", JSON.stringify({ n }));
      if (status === 200) return text;
      const { name, message } = JSON.parse(text) as { name: string; message: string };
      throw Object.assign(new Error(message), { name });
    });
    t.teardown(() => load.stop());
    await strikeAll(t, cluster, load);
    await load.stop();
    for (const { name, message } of load.errors) t.true(name === "InstanceLost" || name === "Unavailable", `${name}: ${message}`);
    t.true(load.errors.length <= LANES * 8, JSON.stringify(load.errors));
    t.deepEqual(doubled(), []);
    await until(async () => ((await ask("/healthz", "GET")).status === 200 ? true : undefined), "health", 15_000);
  },
);
