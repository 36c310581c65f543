/** Ctrl-C and SIGTERM in `pilot invoke`, with real processes: the run ends, wherever it is. */
import test, { type ExecutionContext } from "ava";
import { resolveConnection } from "../../nodes/io/context.ts";
import { connect } from "../../nodes/io/nats.ts";
import { cancelCall, showCall } from "../../protocol/messages/fleet.ts";
import { DESK, SUBJECT } from "../../protocol/subjects.ts";
import { startTestBroker } from "../support/nats-server.ts";
import { type Platform, startPlatform } from "../support/platform.ts";
import { readLogs } from "../support/read-logs.ts";
import { runPilot } from "../support/run-pilot.ts";
import { until } from "../support/until.ts";

let platform: Platform;
test.before(async () => {
  platform = await startPlatform();
});
test.after.always(() => platform.stop());

const LONG = `export const handler = (event, context) => {
  if (event === "quick") return 1;
  console.log(event);
  return new Promise(() => setInterval(() => {}, 1000));
}`;

/** A call that runs, from a `pilot invoke` of its own. */
async function begin(t: ExecutionContext, name: string, word: string, ...more: string[]) {
  const pilot = runPilot(t, ["invoke", name, "--data", JSON.stringify(word), "--context", platform.running.context, ...more]);
  const line = await until(
    async () => (await readLogs(platform.operator, "main", name)).find((found) => found.text === word),
    "the call to run",
    15_000,
  );
  return { pilot, id: line.call ?? "" };
}

const record = (id: string) =>
  until(async () => (await platform.operator.bus.ask(showCall, [], { id }).catch(() => undefined))?.call, "the record", 10_000);

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  test.serial(`${signal} in invoke ends the run, says so on stderr and exits with 130`, async (t) => {
    await platform.deploy("endless", LONG, { settings: { class: "rare" } });
    const { pilot, id } = await begin(t, "endless", `placed ${signal}`);
    pilot.child.kill(signal);
    t.deepEqual(await pilot.ended, { code: 130, signal: null });
    t.is(pilot.out(), "");
    t.regex(pilot.err(), /^pilot: cancelling the call; once more to leave at once\npilot: interrupted; the call was cancelled\n$/);
    const { error, path } = await record(id);
    t.deepEqual([error, path], ["Cancelled", "keeper"]);
    t.deepEqual(await platform.operator.bus.ask(cancelCall, [], { id }), { cancelled: false });
  });
}

test.serial("a cancel that names no call, or names it twice, is refused", async (t) => {
  for (const named of [{}, { id: "0123456789", reply: "_INBOX.x" }]) {
    await t.throwsAsync(platform.operator.bus.ask(cancelCall, [], named), { name: "BadRequest" });
  }
});

test.serial("Ctrl-C ends a run on the direct path, of which no scheduler knows", async (t) => {
  await platform.deploy("swift", LONG, { settings: { class: "busy" } });
  await until(
    async () => ((await platform.call("swift", "quick")).headers["Pilot-Path"] === "direct" ? true : undefined),
    "a grant",
    15_000,
  );
  const { pilot, id } = await begin(t, "swift", "direct", "--json");
  pilot.child.kill("SIGINT");
  t.deepEqual(await pilot.ended, { code: 130, signal: null });
  const { status, error } = JSON.parse(pilot.out()) as { status: number; error: { name: string } };
  t.deepEqual([status, error.name], [499, "Cancelled"]);
  t.is((await record(id)).error, "Cancelled");
});

test.serial("Ctrl-C takes a call out that waits for a place, and the one that runs goes on", async (t) => {
  await platform.deploy("single", LONG, { settings: { class: "rare", containers: 1 } });
  const first = await begin(t, "single", "first");
  const second = runPilot(t, ["invoke", "single", "--data", '"second"', "--deadline", "20s", "--context", platform.running.context]);
  await until(
    async () => (Object.values((await waitingOf(platform)) ?? {}).some((count) => count > 0) ? true : undefined),
    "the second call to wait",
    15_000,
  );
  second.child.kill("SIGINT");
  t.deepEqual(await second.ended, { code: 130, signal: null });
  t.regex(second.err(), /the call was cancelled/);
  t.is(first.pilot.child.exitCode, null);
  first.pilot.child.kill("SIGINT");
  t.is((await first.pilot.ended).code, 130);
  t.falsy((await readLogs(platform.operator, "main", "single")).find((line) => line.text === "second"));
});

const waitingOf = async (of: Platform) => (await of.fleet()).waiting;

test.serial("Ctrl-C ends the run of a caller without any rights too", async (t) => {
  await platform.deploy("foreign", LONG, { settings: { class: "rare", timeoutMs: 8_000 } });
  const pilot = runPilot(t, ["invoke", "foreign", "--data", '"anonymous"', "-s", platform.running.nats], {
    PILOT_STATE_HOME: "/nowhere",
    XDG_CONFIG_HOME: "/nowhere",
  });
  await until(
    async () => (await readLogs(platform.operator, "main", "foreign")).find((line) => line.text === "anonymous"),
    "the call to run",
    15_000,
  );
  pilot.child.kill("SIGINT");
  t.deepEqual(await pilot.ended, { code: 130, signal: null });
  t.regex(pilot.err(), /interrupted; the call was cancelled\n$/);
});

test.serial("a second Ctrl-C ends the command at once, and one that npm passed on is no second one", async (t) => {
  const broker = await startTestBroker(t);
  const settings = await resolveConnection({ context: broker.contextFile("frontend") }, {});
  const frontend = await connect(settings, { name: "test", role: "frontend", node: "frontend-1" });
  t.teardown(() => frontend.close());
  let calls = 0;
  frontend.bus.listen(SUBJECT.fnAll, { queue: DESK }, () => void calls++);
  await frontend.nc.flush();
  const pilot = runPilot(t, ["invoke", "silent", "--context", broker.contextFile("operator")]);
  await until(() => (calls > 0 ? true : undefined), "the call to be sent", 15_000);
  pilot.child.kill("SIGINT");
  pilot.child.kill("SIGINT");
  await pilot.said(/once more to leave at once/);
  t.is(pilot.child.exitCode, null);
  const again = setInterval(() => pilot.child.kill("SIGINT"), 20);
  t.teardown(() => clearInterval(again));
  t.deepEqual(await pilot.ended, { code: null, signal: "SIGINT" });
});

test.serial("Ctrl-C ends a command that still reads its input", async (t) => {
  const pilot = runPilot(t, ["invoke", "swift", "--data", "-", "--context", platform.running.context]);
  // It listens for signals as soon as it reads; before that the signal ends it as it would any process.
  pilot.child.stdin?.write("half a body");
  const again = setInterval(() => pilot.child.kill("SIGINT"), 50);
  t.teardown(() => clearInterval(again));
  const { code, signal } = await pilot.ended;
  t.true(code === 130 || signal === "SIGINT");
});
