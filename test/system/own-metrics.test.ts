/** `--metrics`: each process shows its own nodes to Prometheus, on a platform whose nodes are in two of them. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import anyTest, { type TestFn } from "ava";
import { type RunningNodes, runNodes } from "../../nodes/run/node-run.ts";
import { pidOf } from "../support/faults.ts";
import { checkMetricsText } from "../support/metrics-syntax.ts";
import { type Platform, startPlatform } from "../support/platform.ts";
import { PROMTOOL, promtoolOn } from "../support/promtool.ts";
import { runPilot } from "../support/run-pilot.ts";
import { temporaryDirectory } from "../support/temp.ts";
import { until } from "../support/until.ts";

const test = anyTest.serial as unknown as TestFn<never>;
const withPromtool = PROMTOOL === "" ? test.skip : test;
const ADDRESS = "127.0.0.1:0";
let platform: Platform;
let others: RunningNodes;

test.before(async () => {
  platform = await startPlatform({ warm: { node: 1, python: 0 }, metrics: ADDRESS });
  others = await runNodes({
    roles: ["host"],
    name: "other",
    temporary: true,
    credentials: { store: platform.running.store },
    warm: { node: 1, python: 0 },
    metrics: ADDRESS,
  });
  await platform.deploy("echo", "exports.handler = async (event) => event;");
  await platform.deploy("bad", "exports.handler = async () => { throw new Error('no'); };");
});
test.after.always(async () => {
  await others?.stop();
  await platform?.stop();
});

const scrape = async (url: string | undefined, init: RequestInit = {}) => {
  const answer = await fetch(url ?? "", init);
  return { status: answer.status, type: answer.headers.get("content-type"), text: await answer.text() };
};
const nodesIn = (text: string) => [...text.matchAll(/^pilot_node_info\{.*node="([^"]+)"/gm)].map(([, node]) => node).sort();

test("each process shows its own nodes, and no other's: with one scrape per machine each node is there once", async (t) => {
  for (let n = 0; n < 20; n++) await platform.call("echo", { n });
  t.is((await platform.call("bad")).error, "HandlerError");
  const found = [];
  for (const url of [platform.running.metrics, others.metrics]) {
    const { status, type, text } = await scrape(url);
    t.is(status, 200);
    t.regex(type ?? "", /^text\/plain; version=0\.0\.4/);
    t.deepEqual(checkMetricsText(text), []);
    t.regex(text, /^pilot_nodes_unheard 0$/m);
    found.push(nodesIn(text));
  }
  t.deepEqual(found, [["frontend-1", "host-1", "scheduler-1"], ["host-other"]]);
});

withPromtool("promtool finds nothing wrong with what each process shows of a live cluster", async (t) => {
  for (const url of [platform.running.metrics, others.metrics]) t.is(promtoolOn((await scrape(url)).text), "");
});

test("metrics are shown while the broker hangs, and a node that hangs is counted as unheard", async (t) => {
  const broker = pidOf(platform, "broker");
  process.kill(broker, "SIGSTOP");
  try {
    t.deepEqual(nodesIn((await scrape(others.metrics)).text), ["host-other"]);
  } finally {
    process.kill(broker, "SIGCONT");
  }
  const host = others.pidOf("host-other") ?? 0;
  process.kill(host, "SIGSTOP");
  const text = await until(async () => {
    const { text: now } = await scrape(others.metrics);
    return nodesIn(now).length === 0 ? now : undefined;
  }, "metrics without the node that hangs");
  t.regex(text, /^pilot_nodes_unheard 1$/m);
  t.deepEqual(checkMetricsText(text), []);
  // The watchdog ends it; its successor is heard.
  await until(async () => nodesIn((await scrape(others.metrics)).text).includes("host-other"), "the successor's metrics", 60_000);
});

test("a page in a browser does not see them, and beyond the loopback nobody without the token does", async (t) => {
  t.is((await scrape(platform.running.metrics, { headers: { origin: "http://elsewhere.example" } })).status, 403);
  const options = { roles: ["host"], temporary: true, credentials: { store: platform.running.store } } as const;
  const refused = await t.throwsAsync(runNodes({ ...options, metrics: "0.0.0.0:0" }));
  t.like(refused, { name: "BadRequest", details: { next: "Give --metrics-token FILE, or listen at 127.0.0.1." } });
  const metricsTokenFile = join(await temporaryDirectory(t), "token");
  await writeFile(metricsTokenFile, "a-token-for-prometheus-only\n");
  const running = await runNodes({ ...options, roles: ["frontend"], name: "told", metrics: "0.0.0.0:0", metricsTokenFile });
  t.teardown(() => running.stop());
  const url = running.metrics?.replace("0.0.0.0", "127.0.0.1");
  t.is((await scrape(url)).status, 401);
  t.is((await scrape(url, { headers: { authorization: "Bearer a-token-for-nobody-else" } })).status, 401);
  const shown = await scrape(url, { headers: { authorization: "Bearer a-token-for-prometheus-only" } });
  t.deepEqual([shown.status, nodesIn(shown.text)], [200, ["frontend-told"]]);
});

test("pilot node run --metrics says where they are, and ends with 2 when it cannot listen there", async (t) => {
  const words = ["node", "run", "--roles", "frontend", "--store", platform.running.store, "--temporary", "--json"];
  const pilot = runPilot(t, [...words, "--name", "said", "--metrics", ADDRESS]);
  const { metrics } = JSON.parse(await until(() => /^\{.*\}$/m.exec(pilot.out())?.[0], "its line", 30_000)) as { metrics: string };
  t.deepEqual(nodesIn((await scrape(metrics)).text), ["frontend-said"]);
  const second = runPilot(t, [...words, "--name", "second", "--metrics", new URL(metrics).host]);
  t.is((await second.ended).code, 2);
  t.regex(second.err(), /cannot listen at 127\.0\.0\.1:\d+/);
  pilot.child.kill("SIGTERM");
  t.is((await pilot.ended).code, 0);
  await t.throwsAsync(scrape(metrics));
});
