/** What happens when a node is stopped, sleeps for long, or has a wall clock that jumps, on real processes. */
import { fileURLToPath } from "node:url";
import anyTest, { type TestFn } from "ava";
import { connect as dial } from "nats";
import { processTable } from "../../nodes/io/sandbox/process-table.ts";
import {
  allGone,
  countRuns,
  isSilence,
  onlyItsInstances,
  PATIENCE_MS,
  pidOf,
  replaced,
  servesAgain,
  treeBelow,
  WORK,
} from "../support/faults.ts";
import { type Platform, startPlatform } from "../support/platform.ts";
import { until } from "../support/until.ts";

const test = anyTest.serial as unknown as TestFn<never>;
const support = (file: string) => fileURLToPath(new URL(`../support/${file}.js`, import.meta.url));
const real = (role: string) => fileURLToPath(new URL(`../../nodes/${role}.js`, import.meta.url));
const LONG_MS = 300_000;
const PATIENT = { "Pilot-Deadline": String(PATIENCE_MS), "Pilot-Timeout": String(LONG_MS) };

const ready = async (platform: Platform) => {
  const runs = await countRuns(platform);
  await platform.deploy("direct", WORK, { settings: { class: "busy", timeoutMs: LONG_MS } });
  await platform.deploy("placed", WORK, { settings: { class: "rare", timeoutMs: LONG_MS } });
  await platform.deploy("single", WORK, { settings: { class: "rare", containers: 1, timeoutMs: LONG_MS } });
  const started = (...numbers: readonly number[]) => until(() => numbers.every((n) => runs.has(n)), "the calls to run", PATIENCE_MS);
  const direct = () =>
    until(async () => (await platform.call("direct", { n: 0 })).headers["Pilot-Path"] === "direct", "a direct answer", PATIENCE_MS);
  return { runs, started, direct };
};

for (const name of ["host-1", "frontend-1", "scheduler-1"]) {
  test(`${name} stopped with SIGSTOP with calls in hand is killed and replaced; each call ends, none runs twice, and the next works`, async (t) => {
    const platform = await startPlatform({ warm: { node: 2, python: 0 } }, t);
    const { runs, started } = await ready(platform);
    const running = [1, 2, 3, 4];
    const waiting = [6, 7, 8, 9, 10];
    const calls = running.map((n) => platform.call("placed", { n, ms: 5_000 }, PATIENT, PATIENCE_MS));
    calls.push(platform.call("single", { n: 5, ms: 5_000 }, PATIENT, PATIENCE_MS));
    await started(...running, 5);
    calls.push(...waiting.map((n) => platform.call("single", { n }, PATIENT, PATIENCE_MS)));
    await until(async () => ((await platform.fleet()).waiting["main.single"] ?? 0) >= 4, "five calls to wait", PATIENCE_MS);
    const old = pidOf(platform, name);
    const before = treeBelow(old);
    const began = performance.now();
    process.kill(old, "SIGSTOP");
    await replaced(platform, name, old);
    t.log(`seen: ${name} killed and ready again after ${Math.round(performance.now() - began)} ms`);
    const allowed = name === "host-1" ? ["InstanceLost"] : [];
    for (const ended of await Promise.all(calls))
      t.true(ended.error === undefined || allowed.includes(ended.error), `${ended.error}: ${ended.message}`);
    for (const ended of await Promise.all(calls.slice(-4))) t.is(ended.error, undefined, ended.message);
    await allGone(before, `the stopped ${name}`);
    if (name === "host-1") await onlyItsInstances(platform);
    await servesAgain(platform, "direct", 11);
    t.deepEqual(
      [...runs].filter(([n, count]) => n !== 0 && count > 1),
      [],
    );
  });
}

test("a host that wakes after a long sleep runs nothing stale, answers the direct calls that piled up, and no caller hears two answers", async (t) => {
  const platform = await startPlatform(
    { warm: { node: 2, python: 0 }, entry: (role) => (role === "host" ? support("unwatched-node") : real(role)) },
    t,
  );
  const { runs, started, direct } = await ready(platform);
  await direct();
  const plain = await dial({ servers: platform.running.nats });
  t.teardown(() => plain.close());
  const answers = new Map<number, string[]>();
  plain.subscribe("_INBOX.sleeper.*", {
    callback: (_, message) => {
      const n = Number(message.subject.split(".")[2]);
      answers.set(n, [...(answers.get(n) ?? []), message.headers?.get("Pilot-Error") ?? message.string()]);
    },
  });
  const call = (target: string, n: number, ms: number) =>
    plain.publish(`pilot.fn.main.${target}`, JSON.stringify({ n, ms }), { reply: `_INBOX.sleeper.${n}` });
  for (const n of [1, 2, 3]) call("placed", n, 5_000);
  for (const n of [4, 5]) call("direct", n, 5_000);
  await plain.flush();
  await started(1, 2, 3, 4, 5);
  const aged = performance.now() + 750;
  await until(() => performance.now() > aged, "the direct calls to be old enough", PATIENCE_MS);

  const wrapper = pidOf(platform, "host-1");
  const host = [...processTable().values()].find((row) => row.parent === wrapper)?.pid ?? 0;
  process.kill(host, "SIGSTOP");
  t.teardown(() => {
    try {
      process.kill(host, "SIGCONT");
    } catch {
      // It ended, as it should.
    }
  });
  // These lie in its socket when it wakes.
  for (const n of [11, 12, 13, 14]) call("direct", n, 0);
  await until(
    async () => (await platform.fleet()).hosts.length === 0 && [1, 2, 3, 4, 5].every((n) => answers.has(n)),
    "the host to be declared lost",
    PATIENCE_MS,
  );
  for (const n of [1, 2, 3, 4, 5]) t.deepEqual(answers.get(n), ["InstanceLost"]);
  process.kill(host, "SIGCONT");
  await servesAgain(platform, "placed", 20);
  await servesAgain(platform, "direct", 21);
  t.deepEqual(
    [1, 2, 3, 4, 5].map((n) => answers.get(n)),
    Array.from({ length: 5 }, () => ["InstanceLost"]),
  );
  for (const n of [11, 12, 13, 14]) t.deepEqual(answers.get(n), ["Unavailable"]);
  t.false([11, 12, 13, 14].some((n) => runs.has(n)));
  t.deepEqual(
    [...runs].filter(([n, count]) => n !== 0 && count > 1),
    [],
  );
  await onlyItsInstances(platform).catch(() => undefined);
});

test("a frontend that wakes after the broker has dropped it answers what came while it slept, each call once", async (t) => {
  const platform = await startPlatform(
    { warm: { node: 2, python: 0 }, entry: (role) => (role === "frontend" ? support("unwatched-node") : real(role)) },
    t,
  );
  const { runs } = await ready(platform);
  await servesAgain(platform, "placed", 0);
  const wrapper = pidOf(platform, "frontend-1");
  const frontend = [...processTable().values()].find((row) => row.parent === wrapper)?.pid ?? 0;
  process.kill(frontend, "SIGSTOP");
  t.teardown(() => {
    try {
      process.kill(frontend, "SIGCONT");
    } catch {
      // It ended with the platform.
    }
  });
  const numbers = Array.from({ length: 40 }, (_, at) => at + 1);
  const calls = numbers.map((n) => platform.call("placed", { n }, PATIENT, PATIENCE_MS));
  // Nobody else answers this subject.
  await until(async () => !isSilence(await platform.call("placed", { n: 0 }, {}, 100)), "the broker to drop the frontend", PATIENCE_MS);
  process.kill(frontend, "SIGCONT");
  for (const ended of await Promise.all(calls)) t.is(ended.error, undefined, ended.message);
  t.deepEqual(
    numbers.filter((n) => runs.get(n) !== 1),
    [],
  );
});

test("wall clocks of all nodes that jump by an hour back and forth change nothing", async (t) => {
  const platform = await startPlatform({ warm: { node: 2, python: 1 }, entry: () => support("jumping-node") }, t);
  const { runs, direct } = await ready(platform);
  await direct();
  const numbers = Array.from({ length: 40 }, (_, at) => at + 1);
  const ends = await Promise.all(
    numbers.map((n) => platform.call(n % 2 === 0 ? "direct" : "placed", { n, ms: (n % 5) * 200 }, PATIENT, PATIENCE_MS)),
  );
  for (const ended of ends) {
    t.is(ended.error, undefined, ended.message);
    const [received = 0, start = 0, end = 0] = (ended.headers["Pilot-Times"] ?? "").split(";").map(Number);
    t.true(received <= start && start <= end && Math.abs(Date.now() - end) < PATIENCE_MS, ended.headers["Pilot-Times"]);
  }
  t.deepEqual(
    numbers.filter((n) => runs.get(n) !== 1),
    [],
  );
  t.is((await platform.call("placed", { n: 50, ms: 5_000 }, { "Pilot-Timeout": "1000" })).error, "TimedOut");
  await platform.deploy("direct", WORK, { settings: { class: "busy" } });
  await direct();
  const { hosts, silent } = await platform.fleet();
  t.is(hosts.length, 1);
  t.deepEqual(silent, []);
});

test("a host whose wall clock is an hour ahead: calls, limits, grants and deploys are as on any other", async (t) => {
  const platform = await startPlatform({ hosts: 2, warm: { node: 2, python: 0 }, entry: () => support("wrong-clock-node") }, t);
  const { runs, direct } = await ready(platform);
  await direct();
  const numbers = Array.from({ length: 60 }, (_, at) => at + 1);
  const ends = await Promise.all(
    numbers.map((n) => platform.call(n % 2 === 0 ? "direct" : "placed", { n, ms: 300 + (n % 5) * 100 }, PATIENT, PATIENCE_MS)),
  );
  for (const ended of ends) t.is(ended.error, undefined, ended.message);
  const off = ends.filter(({ headers }) => Number((headers["Pilot-Times"] ?? "").split(";")[2]) > Date.now() + 1_800_000).length;
  t.log(`seen: ${off} of ${ends.length} calls ran on the host whose clock is wrong`);
  t.true(off > 0, "it served");
  t.deepEqual(
    numbers.filter((n) => runs.get(n) !== 1),
    [],
  );
  const late = await Promise.all([70, 71, 72, 73].map((n) => platform.call("placed", { n, ms: 5_000 }, { "Pilot-Timeout": "1000" })));
  for (const { error } of late) t.is(error, "TimedOut");
  await platform.deploy("direct", WORK.replace("return { n }", "return { n, version: 2 }"), { settings: { class: "busy" } });
  for (let nth = 0; nth < 20; nth++) t.deepEqual((await platform.call("direct", { n: 0 })).value, { n: 0, version: 2 });
  const { hosts, silent } = await platform.fleet();
  t.is(hosts.length, 2);
  t.deepEqual(silent, []);
});
