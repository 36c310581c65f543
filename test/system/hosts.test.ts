/** The operator's hand on real hosts: who is there, out of service and back, and away for good. */
import test from "ava";
import { publish } from "../../cli/publish.ts";
import type { PresentNode } from "../../cli/roll-call.ts";
import { bundleSource } from "../../nodes/io/bundle/index.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { SUBJECT } from "../../protocol/subjects.ts";
import { startCluster } from "../support/cluster.ts";
import { runCli } from "../support/run-cli.ts";
import { until } from "../support/until.ts";

const SLOW = "export const handler = async ({ ms }) => { await new Promise((r) => setTimeout(r, ms)); return ms; };";
const WARM = { node: 1, python: 0 };

test("hosts are listed, cordoned, uncordoned and drained by command; calls that run end, and the others go on", async (t) => {
  t.timeout(180_000);
  const cluster = await startCluster(t, { brokers: 1 });
  await cluster.run(["scheduler", "frontend", "host"], { name: "a", warm: WARM });
  const leaving = await cluster.run(["host"], { name: "b", warm: WARM });
  const context = await cluster.context("operator");
  const pilot = async (...words: string[]) => {
    const run = await runCli([...words, "--context", context, "--json"]);
    t.is(run.code, 0, run.stderr);
    return JSON.parse(run.stdout) as unknown;
  };
  const nodes = async (): Promise<Record<string, string>> =>
    Object.fromEntries(((await pilot("node", "ls")) as PresentNode[]).map(({ id, state }) => [id, state]));
  t.deepEqual(await nodes(), { "scheduler-a": "ready", "frontend-a": "ready", "host-a": "ready", "host-b": "ready" });

  const operator = await cluster.operator();
  await publish(operator, await bundleSource(SLOW, "node"), { account: "main", name: "slow", settings: { class: "rare" } });
  const caller = await cluster.anonymous();
  const call = async (ms: number): Promise<string | undefined> => {
    const headers = { "Pilot-Trace": "1", "Pilot-Deadline": "20000" };
    const reply = await caller.caller.call(SUBJECT.fn("main", "slow"), new TextEncoder().encode(JSON.stringify({ ms })), {
      timeoutMs: 60_000,
      headers,
    });
    return reply.headers["Pilot-Host"];
  };
  await pilot("host", "cordon", "host-a");
  t.is((await nodes())["host-a"], "cordoned");
  t.is(await call(1), "host-b");
  const runs = call(4_000);
  await until(async () => /busy/.test(JSON.stringify(await pilot("host", "show", "host-b"))), "a call that runs", 20_000);
  const drained = (await pilot("host", "drain", "host-b", "--timeout", "1m")) as { gone: boolean; calls: number };
  t.true(drained.gone);
  t.is(drained.calls, 1);
  t.is(await runs, "host-b");
  await t.notThrowsAsync(leaving.done);

  await pilot("host", "uncordon", "host-a");
  t.is(await call(1), "host-a");
  t.deepEqual(await nodes(), { "scheduler-a": "ready", "frontend-a": "ready", "host-a": "ready" });
  t.is((await runCli(["host", "show", "host-b", "--context", context])).code, 1);
});

test("a supervisor that is told to stop keeps what was promised: to a host that drains by command, and by --drain", async (t) => {
  t.timeout(180_000);
  const cluster = await startCluster(t, { brokers: 1 });
  await cluster.run(["scheduler", "frontend"], { name: "a" });
  // Its supervisor would wait for half a second by itself.
  const promised = await cluster.run(["host"], { name: "b", warm: WARM, drainMs: 500 });
  const operator = await cluster.operator();
  await publish(operator, await bundleSource(SLOW, "node"), { account: "main", name: "slow", settings: { class: "rare" } });
  const caller = await cluster.anonymous();
  const context = await cluster.context("operator");
  const busy = async (host: string): Promise<boolean> =>
    /busy/.test((await runCli(["host", "show", host, "--context", context, "--json"])).stdout);
  const call = async (ms: number) => {
    const body = new TextEncoder().encode(JSON.stringify({ ms }));
    const headers = { "Pilot-Trace": "1", "Pilot-Deadline": "20000" };
    const reply = await caller.caller.call(SUBJECT.fn("main", "slow"), body, { timeoutMs: 60_000, headers });
    return { host: reply.headers["Pilot-Host"], error: reply.headers["Pilot-Error"] };
  };
  const long = LIMITS.drain.value + LIMITS.drainLeast.value + 3_000;
  const first = call(long);
  await until(() => busy("host-b"), "a call that runs on the first", 20_000);
  const draining = runCli(["host", "drain", "host-b", "--timeout", "1m", "--context", context, "--json"]);
  await until(async () => /draining/.test((await runCli(["host", "ls", "--context", context, "--json"])).stdout), "it to drain", 20_000);
  const configured = await cluster.run(["host"], { name: "c", hosts: 2, warm: WARM, drainMs: 60_000 });
  const second = call(long);
  await until(async () => (await busy("host-c")) || (await busy("host-c-2")), "a call that runs on the second", 20_000);
  const stopped = Promise.all([promised.stop(), configured.stop()]);
  t.deepEqual(await first, { host: "host-b", error: undefined });
  t.regex((await second).host ?? "", /^host-c/);
  await stopped;
  t.is((await draining).code, 0);
});
