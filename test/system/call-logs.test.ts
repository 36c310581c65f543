/** A call that failed, or was nearly lost, is followed by its id over the logs of all nodes: real processes, logs at debug. */
import anyTest, { type ExecutionContext, type TestFn } from "ava";
import { inspectNode } from "../../protocol/messages/inspect.ts";
import { countRuns, killAndAwait, PATIENCE_MS, WORK } from "../support/faults.ts";
import { type NodeLine, nodeLogs } from "../support/node-logs.ts";
import { type Ended, type Platform, startPlatform } from "../support/platform.ts";
import { until } from "../support/until.ts";

const test = anyTest.serial as unknown as TestFn<never>;
let platform: Platform;
let runs: Map<number, number>;
let next = 1;

const PATIENT = { "Pilot-Deadline": String(PATIENCE_MS) };
/** Longer than any call here is to run: its host dies before. */
const LONG_MS = 30_000;

test.before(async () => {
  platform = await startPlatform({ warm: { node: 2, python: 0 }, logLevel: "debug" });
  runs = await countRuns(platform);
  await platform.deploy("bad", "exports.handler = async () => { throw new Error('no'); };");
  await platform.deploy("slow", WORK, { settings: { timeoutMs: 200 } });
  await platform.deploy("single", WORK, { settings: { class: "rare", containers: 1 } });
  await platform.deploy("placed", WORK, { settings: { class: "rare" } });
  await platform.deploy("again", WORK, { settings: { class: "rare", idempotent: true } });
  await platform.deploy("direct", WORK, { settings: { class: "busy" } });
});
test.after.always(() => platform?.stop());

const call = (target: string, n: number, ms: number, headers: Record<string, string> = PATIENT) =>
  platform.call(target, { n, ms }, headers, 2 * PATIENCE_MS);
const begun = (n: number) => until(() => runs.has(n), "the call to run", PATIENCE_MS);

/** The lines of the nodes about a call, once each of `roles` has one. Each of them says in `call`, `account` and `function` whose it is. */
async function followed(t: ExecutionContext<never>, { headers }: Ended, name: string, roles: readonly string[]): Promise<NodeLine[]> {
  const id = headers["Pilot-Call"] ?? "";
  t.regex(id, /^[0-9a-z]{18,}$/);
  const about = await until(
    async () => {
      const lines = (await nodeLogs(platform.running.store)).filter((line) => JSON.stringify(line).includes(id));
      return roles.every((role) => lines.some((line) => line["role"] === role)) ? lines : undefined;
    },
    `lines of ${roles.join(" and ")} about the call`,
  );
  for (const line of about) t.like(line, { call: id, account: "main", function: name }, JSON.stringify(line));
  return about;
}

test("F099 a handler's failure and a timeout are found by their call's id in the log of the host", async (t) => {
  const bad = await call("bad", next++, 0);
  t.is(bad.error, "HandlerError");
  t.like((await followed(t, bad, "bad", ["host"])).at(-1), { msg: "a call failed", error: "HandlerError" });
  const slow = await call("slow", next++, LONG_MS);
  t.is(slow.error, "TimedOut");
  t.like((await followed(t, slow, "slow", ["host"])).at(-1), { msg: "a call failed", error: "TimedOut" });
});

test("F099 a call that found no place tells its id, and is found by it in the log of its keeper", async (t) => {
  const n = next++;
  const holding = call("single", n, 2_000);
  await begun(n);
  const refused = await call("single", next++, 0, { "Pilot-Deadline": "100" });
  t.is(refused.error, "Throttled");
  t.like((await followed(t, refused, "single", ["scheduler"])).at(-1), { msg: "a call was refused", error: "Throttled" });
  t.is((await holding).error, undefined);
});

test("F099 a call whose host died tells its id, and is found by it in the logs of frontend and scheduler", async (t) => {
  const n = next++;
  const ending = call("placed", n, LONG_MS);
  await begun(n);
  await killAndAwait(platform, "host-1");
  const lost = await ending;
  t.is(lost.error, "InstanceLost");
  const lines = await followed(t, lost, "placed", ["frontend", "scheduler"]);
  t.truthy(lines.find((line) => line["role"] === "frontend" && line["level"] === 30 && line.msg === "a call was lost with its host"));
});

test("F099 an idempotent call that ran again after the death of its host is found by its id where that was decided", async (t) => {
  const n = next++;
  const ending = call("again", n, 3_000);
  await begun(n);
  await killAndAwait(platform, "host-1");
  const ended = await ending;
  t.is(ended.error, undefined, ended.message);
  const lines = await followed(t, ended, "again", ["frontend", "scheduler"]);
  t.truthy(lines.find(({ msg }) => msg === "a call runs again, since its host was lost"));
});

test("F099 a direct call whose host died tells its id, and is found by it in the log of the keeper that spoke for it", async (t) => {
  await until(async () => (await call("direct", next++, 0)).headers["Pilot-Path"] === "direct", "a direct answer", PATIENCE_MS);
  const n = next++;
  // No deadline is said: with that header alone the host runs it itself.
  const ending = call("direct", n, LONG_MS, {});
  await begun(n);
  const toldLong = async () => (await platform.operator.bus.ask(inspectNode, ["scheduler-1"], {})).held["long"] ?? 0;
  await until(async () => (await toldLong()) > 0, "the keeper to be told of it");
  await killAndAwait(platform, "host-1");
  const lost = await ending;
  t.is(lost.error, "InstanceLost");
  t.like((await followed(t, lost, "direct", ["scheduler"])).at(-1), { level: 30, msg: "a call was lost with its host" });
});

test("every line of a node that speaks of a call has that call's id", async (t) => {
  const lines = (await nodeLogs(platform.running.store)).filter(({ msg }) => /\bcall\b/.test(msg));
  t.true(lines.length > 5);
  t.deepEqual(
    lines.filter((line) => typeof line["call"] !== "string"),
    [],
  );
});
