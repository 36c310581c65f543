/** What calls and callers see when a host agent or its spawner dies under them, on real processes. */
import anyTest, { type ExecutionContext, type TestFn } from "ava";
import { preloadFunction } from "../../protocol/messages/fleet.ts";
import {
  allGone,
  countRuns,
  groupRoot,
  isSilence,
  killAndAwait,
  onlyItsInstances,
  PATIENCE_MS,
  pidOf,
  servesAgain,
  spawnerOf,
  treeBelow,
  WORK,
} from "../support/faults.ts";
import { type Ended, type Platform, startPlatform } from "../support/platform.ts";
import { until } from "../support/until.ts";

const test = anyTest.serial as unknown as TestFn<never>;
let platform: Platform;
let runs: Map<number, number>;
let next = 1;

/** So long that only a death ends it within the test. */
const LONG_MS = 300_000;
const WAITING = { "Pilot-Deadline": String(PATIENCE_MS), "Pilot-Timeout": String(LONG_MS) };

test.before(async () => {
  platform = await startPlatform({ warm: { node: 2, python: 0 } });
  runs = await countRuns(platform);
  await platform.deploy("direct", WORK, { settings: { class: "busy", timeoutMs: LONG_MS } });
  await platform.deploy("placed", WORK, { settings: { class: "rare", timeoutMs: LONG_MS } });
  await platform.deploy("again", WORK, { settings: { class: "rare", timeoutMs: LONG_MS, idempotent: true } });
  await platform.deploy("single", WORK, { settings: { class: "rare", timeoutMs: LONG_MS, containers: 1 } });
});
test.after.always(() => platform?.stop());

const number = () => next++;
const started = (n: number) => until((): true | undefined => (runs.has(n) ? true : undefined), `call ${n} to run`, PATIENCE_MS);
const noneTwice = (t: ExecutionContext<never>) =>
  t.deepEqual(
    [...runs].filter(([, count]) => count > 1),
    [],
  );

/** Calls of short functions are sent to their host ahead of time: these are to wait at the keeper. */
const longOnAverage = () => platform.call("single", { n: number(), ms: 1_000 }, WAITING, PATIENCE_MS);

/**
 * Makes calls of `single` until that many wait at the keeper, and gives all of them. One may have been sent after an idle container
 * that was taken meanwhile, or behind short ones as far as is known there: it waits at the host.
 */
async function waitingAtKeeper(count: number): Promise<Promise<Ended>[]> {
  const calls: Promise<Ended>[] = [];
  const waiting = async () => (await platform.fleet()).waiting["main.single"] ?? 0;
  while ((await waiting()) < count) {
    if (calls.length === 3 * count) throw new Error(`of ${calls.length} calls ${await waiting()} wait at the keeper`);
    const before = await waiting();
    calls.push(platform.call("single", { n: number() }, WAITING, PATIENCE_MS));
    await until(async () => (await waiting()) > before, "one more to wait", 1_000).catch(() => undefined);
  }
  return calls;
}

/** Those that waited at the keeper are answered; one that waited at the host may be lost with it. */
async function mostServed(t: ExecutionContext<never>, calls: readonly Promise<Ended>[], atKeeper: number): Promise<void> {
  const ended = await Promise.all(calls);
  for (const one of ended) t.true(one.error === undefined || one.error === "InstanceLost", `${one.error}: ${one.message}`);
  t.true(ended.filter((one) => one.error === undefined).length >= atKeeper);
}

/** A call that is known to run. */
async function runningCall(target: string, headers: Record<string, string>, timeoutMs = PATIENCE_MS): Promise<Promise<Ended>[]> {
  const n = number();
  const ended = platform.call(target, { n, ms: LONG_MS }, headers, timeoutMs);
  const early = await Promise.race([started(n), ended]);
  if (early !== true) throw new Error(`call ${n} of ${target} did not run: ${early.error} ${early.message}`);
  return [ended];
}

const direct = () =>
  until(async () => (await platform.call("direct", { n: number() })).headers["Pilot-Path"] === "direct", "a direct answer", PATIENCE_MS);

test("a host agent killed with ten calls in hand: those that ran are InstanceLost, those that waited are served, and nothing of it is left", async (t) => {
  await direct();
  await platform.operator.bus.ask(preloadFunction, [], { account: "main", name: "direct", count: 3 });
  const old = (await Promise.all([1, 2, 3].map(() => runningCall("direct", {})))).flat();
  const placed = (await Promise.all([1, 2].map(() => runningCall("placed", WAITING)))).flat();
  await longOnAverage();
  const single = await runningCall("single", WAITING);
  const waiting = await waitingAtKeeper(4);
  // What is older than the keeper was told of is the keeper's: three times the age from which that is so.
  const aged = performance.now() + 750;
  await until(() => performance.now() > aged, "the direct calls to be old enough", PATIENCE_MS);

  const before = treeBelow(pidOf(platform, "host-1"));
  const groups = await groupRoot(before);
  t.log(`processes of the agent: ${before.length}; control groups: ${groups ?? "none"}`);
  const ms = await killAndAwait(platform, "host-1");
  const began = performance.now();
  for (const ended of await Promise.all([...old, ...placed, ...single])) t.is(ended.error, "InstanceLost", ended.message);
  await mostServed(t, waiting, 4);
  t.log(`seen: a host ready again after ${ms} ms, all ten answered ${Math.round(performance.now() - began)} ms later`);

  await allGone(before, "the processes of the killed agent");
  await onlyItsInstances(platform);
  await servesAgain(platform, "direct", number());
  await servesAgain(platform, "placed", number());
  noneTwice(t);
});

test("of calls in hand when a host agent dies only direct ones younger than 250 ms may end in the caller's own timeout", async (t) => {
  await direct();
  await platform.operator.bus.ask(preloadFunction, [], { account: "main", name: "direct", count: 6 });
  // Not traced, as plain callers call: nothing but their path tells them apart.
  const young = [1, 2, 3, 4, 5].map(() => platform.call("direct", { n: number(), ms: LONG_MS }, {}, 15_000));
  const placed = (await Promise.all([1, 2, 3, 4, 5].map(() => runningCall("placed", WAITING)))).flat();
  const youngest = [1, 2, 3].map(() => platform.call("direct", { n: number(), ms: LONG_MS }, {}, 15_000));
  await platform.anonymous.nc.flush();
  await killAndAwait(platform, "host-1");
  for (const ended of await Promise.all(placed)) t.is(ended.error, "InstanceLost", ended.message);
  const all = await Promise.all([...young, ...youngest]);
  const silent = all.filter(isSilence).length;
  for (const ended of all)
    if (!isSilence(ended))
      t.true(["InstanceLost", "Unavailable", "Throttled"].includes(ended.error ?? "none"), `${ended.error}: ${ended.message}`);
  t.log(`seen: ${silent} of ${all.length} young direct calls ended in the caller's timeout`);
  await servesAgain(platform, "direct", number());
  noneTwice(t);
});

test("F050 an idempotent call that ran when its host agent died runs again and is answered", async (t) => {
  const n = number();
  const ended = platform.call("again", { n, ms: 3_000 }, { "Pilot-Deadline": String(PATIENCE_MS) }, PATIENCE_MS);
  await started(n);
  await killAndAwait(platform, "host-1");
  t.deepEqual((await ended).value, { n });
  t.is(runs.get(n), 2);
  runs.delete(n);
});

test("a spawner killed with ten calls in hand: those that ran are InstanceLost, those that waited are served, and the next call works", async (t) => {
  await servesAgain(platform, "single", number());
  const running = (await Promise.all([1, 2, 3, 4, 5].map(() => runningCall("placed", WAITING)))).flat();
  await longOnAverage();
  const single = await runningCall("single", WAITING);
  const waiting = await waitingAtKeeper(4);
  const host = pidOf(platform, "host-1");
  const spawner = await spawnerOf(host);
  const before = treeBelow(spawner);
  const began = performance.now();
  process.kill(spawner, "SIGKILL");
  for (const ended of await Promise.all([...running, ...single])) t.is(ended.error, "InstanceLost", ended.message);
  await mostServed(t, waiting, 4);
  t.log(`seen: all ten answered ${Math.round(performance.now() - began)} ms after the spawner's death`);
  t.is(pidOf(platform, "host-1"), host);
  await allGone(before, "the processes of the killed spawner");
  await onlyItsInstances(platform);
  await servesAgain(platform, "placed", number());
  noneTwice(t);
});
