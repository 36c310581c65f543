/** What happens to calls, registry, grants and judgements when the broker dies and comes back, on real processes. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import anyTest, { type TestFn } from "ava";
import { showFunction } from "../../protocol/messages/registry.ts";
import { countRuns, isSilence, killAndAwait, PATIENCE_MS, pidOf, servesAgain, WORK } from "../support/faults.ts";
import { type Platform, startPlatform } from "../support/platform.ts";
import { until } from "../support/until.ts";

const test = anyTest.serial as unknown as TestFn<never>;
let platform: Platform;
let runs: Map<number, number>;
let next = 1;

const PATIENT = { "Pilot-Deadline": String(PATIENCE_MS) };
const RUN_MS = 5_000;
const NODES = ["scheduler-1", "frontend-1", "host-1"];

test.before(async () => {
  platform = await startPlatform({ warm: { node: 2, python: 0 } });
  runs = await countRuns(platform);
  await platform.deploy("direct", WORK, { settings: { class: "busy" } });
  await platform.deploy("placed", WORK, { settings: { class: "rare" } });
  await platform.deploy("single", WORK, { settings: { class: "rare", containers: 1 } });
});
test.after.always(() => platform?.stop());

const number = () => next++;
const started = (...numbers: readonly number[]) => until(() => numbers.every((n) => runs.has(n)), "the calls to run", PATIENCE_MS);
const direct = () =>
  until(async () => (await platform.call("direct", { n: number() })).headers["Pilot-Path"] === "direct", "a direct answer", PATIENCE_MS);

/** How often nodes said that they lost a host, a frontend or a scheduler. */
async function losses(): Promise<number> {
  const logs = await Promise.all(NODES.map((node) => readFile(join(platform.running.store, "logs", `${node}.log`), "utf8")));
  return logs
    .join("\n")
    .split("\n")
    .filter((line) => /"msg":"(host|frontend|scheduler) lost"/.test(line)).length;
}

for (const [how, signal] of [
  ["killed", "SIGKILL"],
  ["restarted in order", "SIGTERM"],
] as const) {
  test(`a broker ${how} with ten calls in hand: what runs is answered once it is back, nothing runs twice, and no node is declared lost`, async (t) => {
    await direct();
    const running = [1, 2, 3, 4].map(number);
    const holder = number();
    const waiting = [1, 2, 3, 4, 5].map(number);
    const call = (target: string, n: number, ms: number) => platform.call(target, { n, ms }, PATIENT, 45_000);
    const first = running.map((n, at) => call(at % 2 === 0 ? "placed" : "direct", n, RUN_MS));
    const held = call("single", holder, RUN_MS);
    await started(...running, holder);
    const last = waiting.map((n) => call("single", n, 10));
    await until(async () => ((await platform.fleet()).waiting["main.single"] ?? 0) >= 4, "five calls to wait", PATIENCE_MS);
    const pids = NODES.map((name) => pidOf(platform, name));
    const before = await losses();

    const began = performance.now();
    t.log(`seen: a broker ready again after ${await killAndAwait(platform, "broker", signal)} ms`);
    for (const [at, ended] of (await Promise.all([...first, held])).entries()) {
      t.is(ended.error, undefined, `${running[at] ?? holder}: ${ended.message}`);
    }
    const ends = await Promise.all(last);
    for (const ended of ends)
      t.true(
        ended.error === undefined || isSilence(ended) || ["Throttled", "Unavailable", "InstanceLost"].includes(ended.error),
        `${ended.error}: ${ended.message}`,
      );
    t.log(
      `seen: ${ends.filter((one) => one.error === undefined).length} of ${ends.length} waiting calls answered, all over after ${Math.round(performance.now() - began)} ms`,
    );
    t.deepEqual(
      [...runs].filter(([, count]) => count > 1),
      [],
    );

    t.deepEqual(
      NODES.map((name) => pidOf(platform, name)),
      pids,
    );
    t.is(await losses(), before);
    await servesAgain(platform, "placed", number());
  });

  test(`after a broker was ${how}, deploys, watches of the registry, announcements and grants work as before`, async (t) => {
    const version = await platform.deploy("direct", WORK.replace("return { n }", "return { n, version: 'new' }"), {
      settings: { class: "busy" },
    });
    const shown = await platform.operator.bus.ask(showFunction, [], { account: "main", name: "direct" });
    t.is(shown.function.newest, version);
    const { value } = await servesAgain(platform, "direct", number());
    t.is((value as { version: string }).version, "new");
    await direct();
    await until(
      async () => {
        const fleet = await platform.fleet();
        return (
          fleet.hosts.length === 1 &&
          fleet.silent.length === 0 &&
          NODES.slice(0, 2).every((id) => fleet.nodes.some((node) => node.id === id))
        );
      },
      "all nodes in the fleet",
      PATIENCE_MS,
    );
  });
}

test("a broker that stands still for longer than a host may be silent costs no call and no node", async (t) => {
  await direct();
  const running = [1, 2, 3, 4, 5].map(number);
  const calls = running.map((n, at) => platform.call(at % 2 === 0 ? "placed" : "direct", { n, ms: 2_000 }, PATIENT, 45_000));
  await started(...running);
  const holder = number();
  calls.push(platform.call("single", { n: holder, ms: RUN_MS }, PATIENT, 45_000));
  await started(holder);
  const waiting = [1, 2, 3, 4].map(number);
  calls.push(...waiting.map((n) => platform.call("single", { n, ms: 10 }, PATIENT, 45_000)));
  const before = await losses();
  const pids = NODES.map((name) => pidOf(platform, name));
  const broker = pidOf(platform, "broker");
  process.kill(broker, "SIGSTOP");
  const until4s = performance.now() + 4_000;
  await until(() => performance.now() > until4s, "four seconds", PATIENCE_MS);
  process.kill(broker, "SIGCONT");
  for (const ended of await Promise.all(calls)) t.is(ended.error, undefined, ended.message);
  t.is(await losses(), before);
  t.deepEqual(
    NODES.map((name) => pidOf(platform, name)),
    pids,
  );
  t.deepEqual(
    [...runs].filter(([, count]) => count > 1),
    [],
  );
  await servesAgain(platform, "direct", number());
});

test("a broker that stands still with ten calls in hand and is then killed: each ends in its answer, a typed error or the caller's own timeout, nothing runs twice, and no node is declared lost", async (t) => {
  await direct();
  const running = [1, 2, 3, 4, 5].map(number);
  const calls = running.map((n, at) => platform.call(at % 2 === 0 ? "placed" : "direct", { n, ms: 1_000 + at * 1_500 }, PATIENT, 20_000));
  await started(...running);
  calls.push(...[1, 2, 3, 4, 5].map((n) => platform.call("single", { n: number(), ms: 100 * n }, PATIENT, 20_000)));
  const before = await losses();
  const old = pidOf(platform, "broker");
  process.kill(old, "SIGSTOP");
  const until4s = performance.now() + 4_000;
  await until(() => performance.now() > until4s, "four seconds", PATIENCE_MS);
  await killAndAwait(platform, "broker");
  const ends = await Promise.all(calls);
  for (const ended of ends)
    t.true(
      ended.error === undefined || isSilence(ended) || ["Throttled", "Unavailable"].includes(ended.error),
      `${ended.error}: ${ended.message}`,
    );
  t.log(
    `seen: ${ends.filter((one) => one.error === undefined).length} of ${ends.length} answered, ${ends.filter(isSilence).length} in the caller's own timeout`,
  );
  t.is(await losses(), before);
  t.deepEqual(
    [...runs].filter(([, count]) => count > 1),
    [],
  );
  for (const target of ["placed", "direct", "single"]) await servesAgain(platform, target, number());
});
