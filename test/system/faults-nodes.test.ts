/** What callers see when frontends and schedulers die under their calls, and when callers themselves go, on real processes. */
import anyTest, { type ExecutionContext, type TestFn } from "ava";
import { connect as dial } from "nats";
import {
  allGone,
  countRuns,
  isSilence,
  killAndAwait,
  PATIENCE_MS,
  pidOf,
  replaced,
  servesAgain,
  treeBelow,
  WORK,
} from "../support/faults.ts";
import { type Ended, type Platform, startPlatform } from "../support/platform.ts";
import { until } from "../support/until.ts";

const test = anyTest.serial as unknown as TestFn<never>;
let platform: Platform;
let runs: Map<number, number>;
let next = 1;

const PATIENT = { "Pilot-Deadline": String(PATIENCE_MS) };
/** Longer than any node here takes to come back, unless the machine is very busy. */
const RUN_MS = 6_000;

test.before(async () => {
  platform = await startPlatform({ warm: { node: 2, python: 0 } });
  runs = await countRuns(platform);
  await platform.deploy("direct", WORK, { settings: { class: "busy" } });
  await platform.deploy("placed", WORK, { settings: { class: "rare" } });
  await platform.deploy("single", WORK, { settings: { class: "rare", containers: 1 } });
  await platform.deploy("outer", OUTER, { settings: { class: "rare", timeoutMs: PATIENCE_MS } });
});
test.after.always(() => platform?.stop());

const number = () => next++;
const call = (target: string, n: number, ms: number) => platform.call(target, { n, ms }, PATIENT, 2 * PATIENCE_MS);
const started = (...numbers: readonly number[]) => until(() => numbers.every((n) => runs.has(n)), "the calls to run", PATIENCE_MS);
const direct = () =>
  until(async () => (await platform.call("direct", { n: number() })).headers["Pilot-Path"] === "direct", "a direct answer", PATIENCE_MS);

function answeredOnce(t: ExecutionContext<never>, numbers: readonly number[], ended: readonly Ended[]): void {
  for (const [at, one] of ended.entries()) {
    t.is(one.error, undefined, one.message);
    t.deepEqual(one.value, { n: numbers[at] });
  }
  t.deepEqual(
    numbers.filter((n) => runs.get(n) !== 1),
    [],
  );
}

/** Calls another function with each of the numbers, one every so many ms, and says what came of each. */
const OUTER = `
export const handler = async ({ numbers, target, ms, everyMs }, context) => {
  const one = async (n, at) => {
    await new Promise((resolve) => setTimeout(resolve, at * everyMs));
    try {
      return (await context.call(target, { n, ms })).n;
    } catch (error) {
      return error.name;
    }
  };
  return Promise.all(numbers.map(one));
};`;

const hostCounter = async (name: string): Promise<number> => (await platform.fleet()).hosts[0]?.counters[name] ?? 0;

/** Three that run, one that holds the only container of its function, and six that wait for it at the keeper. */
async function tenInHand(ms: number) {
  const running = [1, 2, 3].map(number);
  const holder = number();
  const waiting = [1, 2, 3, 4, 5, 6].map(number);
  const calls = running.map((n) => call("placed", n, ms));
  calls.push(call("single", holder, ms));
  await started(...running, holder);
  for (const n of waiting) calls.push(call("single", n, 10));
  // One may have been sent after an idle container that was taken meanwhile, and waits at the host.
  await until(async () => ((await platform.fleet()).waiting["main.single"] ?? 0) >= 5, "six calls to wait", PATIENCE_MS);
  return { numbers: [...running, holder, ...waiting], calls };
}

test("a frontend killed with ten calls in hand: all are answered, none runs twice, and direct calls do not notice", async (t) => {
  await direct();
  const { numbers, calls } = await tenInHand(RUN_MS);
  const old = pidOf(platform, "frontend-1");
  const before = treeBelow(old);
  let killed = false;
  const ends: Ended[] = [];
  // One at a time, from before its death until the successor is there.
  const steady = (async () => {
    while (!killed || platform.running.pidOf("frontend-1") === undefined) {
      ends.push(await platform.call("direct", { n: number() }, {}, 20_000));
    }
  })();
  const began = performance.now();
  process.kill(old, "SIGKILL");
  killed = true;
  await replaced(platform, "frontend-1", old);
  t.log(`seen: a frontend ready again after ${Math.round(performance.now() - began)} ms`);
  answeredOnce(t, numbers, await Promise.all(calls));
  await steady;
  // The desk may have given one to the frontend that was dying; all others were answered by the host.
  const failed = ends.filter((one) => one.error !== undefined);
  t.true(failed.length <= 1 && failed.every(isSilence), JSON.stringify(failed.map((one) => one.message)));
  t.true(ends.length > failed.length);
  await allGone(before, "the killed frontend");
  await servesAgain(platform, "placed", number());
});

test("a frontend killed while functions call each other: inner calls run once or are Unavailable soon, those that run or wait elsewhere are answered", async (t) => {
  const [running, waiting, asking] = [3, 3, 20].map((times) => Array.from({ length: times }, number)) as [number[], number[], number[]];
  const outer = (numbers: readonly number[], target: string, ms: number, everyMs: number) =>
    platform.call("outer", { numbers, target, ms, everyMs }, PATIENT, 2 * PATIENCE_MS);
  // Inner calls wait three seconds for a place: there are enough containers before the first.
  await Promise.all([...Array.from({ length: 6 }, () => call("placed", number(), 2_000)), call("single", number(), 0)]);
  const calls = [outer(running, "placed", RUN_MS, 0), outer(waiting, "single", 500, 0)];
  await started(...running, ...waiting.slice(0, 1));
  // One every 100 ms: before it stops, while what is asked lies with it unread, and while nobody is there.
  calls.push(outer(asking, "placed", 10, 100));
  await started(...asking.slice(0, 2));
  const old = pidOf(platform, "frontend-1");
  const before = treeBelow(old);
  process.kill(old, "SIGSTOP");
  const asked = async () => (await hostCounter("nested.repeated")) > 0;
  await until(asked, "a question that was repeated", PATIENCE_MS);
  process.kill(old, "SIGKILL");
  await replaced(platform, "frontend-1", old);
  const ended = await Promise.all(calls);
  t.deepEqual(
    ended.map(({ error }) => error),
    [undefined, undefined, undefined],
    ended.map(({ message }) => message).join(),
  );
  const [ran, waited, answers] = ended.map(({ value }) => value) as [unknown, unknown, unknown[]];
  t.deepEqual(ran, running);
  t.deepEqual(waited, waiting);
  t.deepEqual(
    answers.filter((answer, at) => answer !== asking[at] && answer !== "Unavailable"),
    [],
  );
  t.log(`seen: ${answers.filter((answer) => answer !== "Unavailable").length} of ${answers.length} inner calls answered`);
  t.deepEqual(
    [...running, ...waiting].filter((n) => runs.get(n) !== 1),
    [],
  );
  t.deepEqual(
    asking.filter((n, at) => (runs.get(n) ?? 0) !== (answers[at] === "Unavailable" ? 0 : 1)),
    [],
  );
  await allGone(before, "the killed frontend");
  await servesAgain(platform, "placed", number());
});

test("a scheduler killed with ten calls in hand: all are answered and none runs twice", async (t) => {
  await direct();
  const { numbers, calls } = await tenInHand(RUN_MS);
  const before = treeBelow(pidOf(platform, "scheduler-1"));
  t.log(`seen: a scheduler ready again after ${await killAndAwait(platform, "scheduler-1")} ms`);
  answeredOnce(t, numbers, await Promise.all(calls));
  await allGone(before, "the killed scheduler");
  await servesAgain(platform, "single", number());
  await platform.deploy("after", WORK);
  await servesAgain(platform, "after", number());
  // Grants are issued again: by the new life, for the same version.
  await direct();
});

test("ten calls that come while no scheduler is there wait for one, and run once", async (t) => {
  const old = pidOf(platform, "scheduler-1");
  await platform.deploy("later", WORK, { settings: { class: "rare" } });
  process.kill(old, "SIGKILL");
  const numbers = Array.from({ length: 10 }, number);
  const ended = await Promise.all(numbers.map((n) => call("later", n, 10)));
  answeredOnce(t, numbers, ended);
  await replaced(platform, "scheduler-1", old);
});

test("frontend and scheduler killed together with ten calls in hand: those that ran are answered, those that waited are answered or end in the caller's own timeout, none runs twice", async (t) => {
  const running = [1, 2, 3, 4].map(number);
  const calls = running.map((n) => call("placed", n, RUN_MS));
  const holder = number();
  calls.push(call("single", holder, RUN_MS));
  await started(...running, holder);
  const waiting = [1, 2, 3, 4, 5].map(number);
  const lost = waiting.map((n) => platform.call("single", { n }, PATIENT, 20_000));
  await until(async () => ((await platform.fleet()).waiting["main.single"] ?? 0) >= 4, "five calls to wait", PATIENCE_MS);
  const names = ["frontend-1", "scheduler-1"];
  const old = names.map((name) => pidOf(platform, name));
  for (const pid of old) process.kill(pid, "SIGKILL");
  await Promise.all(names.map((name, at) => replaced(platform, name, old[at] ?? 0)));
  answeredOnce(t, [...running, holder], await Promise.all(calls));
  const ended = await Promise.all(lost);
  for (const one of ended) t.true(one.error === undefined || one.error === "Unavailable", `${one.error}: ${one.message}`);
  t.log(`seen: ${ended.filter((one) => one.error === undefined).length} of ${ended.length} waiting calls answered`);
  t.deepEqual(
    waiting.filter((n) => (runs.get(n) ?? 0) > 1),
    [],
  );
  await servesAgain(platform, "placed", number());
});

test("callers that go away in the middle of ten calls disturb nobody, and their containers serve the next call", async (t) => {
  const leaver = await dial({ servers: platform.running.nats });
  const numbers = Array.from({ length: 10 }, number);
  for (const n of numbers) leaver.publish("pilot.fn.main.placed", JSON.stringify({ n, ms: 500 }), { reply: `_INBOX.leaver.${n}` });
  await leaver.flush();
  await started(numbers[0] ?? 0);
  // Not in order: the socket is just gone.
  (leaver as unknown as { protocol: { transport: { close(): void } } }).protocol.transport.close();
  void leaver.close().catch(() => undefined);
  await servesAgain(platform, "placed", number());
  await until(
    async () =>
      (await platform.fleet()).hosts.every((host) =>
        host.instances.every((one) => one.containers.every((container) => container.state !== "busy")),
      ),
    "all containers to be idle",
    PATIENCE_MS,
  );
  t.deepEqual(
    [...runs].filter(([, count]) => count > 1),
    [],
  );
});
