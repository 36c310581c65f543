/** The client library against the whole platform, as a program that imports it has it. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import anyTest, { type TestFn } from "ava";
import { type ConnectOptions, connect, isPilotError, type Pilot, type PilotError } from "../../client/index.ts";
import { BODY_LIMIT, LIMITS } from "../../protocol/limits.ts";
import { showCall } from "../../protocol/messages/fleet.ts";
import { type Platform, startPlatform } from "../support/platform.ts";
import { projectRoot } from "../support/project-root.ts";
import { readLogs } from "../support/read-logs.ts";
import { until } from "../support/until.ts";

const test = anyTest.serial as unknown as TestFn<never>;
let platform: Platform;
let pilot: Pilot;

const ECHO = "export const handler = async (event) => event";
const LONG = `export const handler = (event) => {
  console.log(event);
  return new Promise((resolve) => setTimeout(resolve, 60_000, "too late"));
}`;
const SLOW = "export const handler = (ms) => new Promise((resolve) => setTimeout(resolve, ms, { slept: ms }))";

const open = (more: ConnectOptions = {}): Promise<Pilot> => connect({ servers: platform.running.nats, ...more });

test.before(async () => {
  platform = await startPlatform();
  // Nobody in particular: not the operator whom the registry of running platforms would give.
  process.env["PILOT_STATE_HOME"] = "/nowhere";
  process.env["XDG_CONFIG_HOME"] = "/nowhere";
  pilot = await open();
  await platform.deploy("echo", ECHO);
  await platform.deploy("slow", SLOW);
  await platform.deploy("logs", LONG.replace('60_000, "too late"', "6_000, event"));
  await platform.deploy("long", LONG, { settings: { class: "rare", timeoutMs: 60_000 } });
});
test.after.always(async () => {
  await pilot?.close({ timeoutMs: 1_000 });
  await platform?.stop();
});

const failure = async (t: { truthy(value: unknown): unknown }, call: Promise<unknown>): Promise<PilotError> => {
  const thrown = await call.then(
    () => undefined,
    (error: unknown) => error,
  );
  t.truthy(isPilotError(thrown));
  return thrown as PilotError;
};

const running = (text: string, name = "long") =>
  until(async () => (await readLogs(platform.operator, "main", name)).find((line) => line.text === text), `${text} to run`, 20_000);

test("values, bytes and nothing go there and come back as they are", async (t) => {
  for (const value of [{ deep: ["ü", 1, null] }, [], "text", 0, null, false]) t.deepEqual(await pilot.invoke("echo", value), value);
  const bytes = Uint8Array.of(0xff, 0, 0xfe);
  t.deepEqual(new Uint8Array((await pilot.invoke<Uint8Array>("echo", bytes)) ?? []), bytes);
  t.is(await pilot.invoke("echo"), undefined);
  const reply = await pilot.call({ name: "echo", qualifier: "live", account: "main" }, { x: 1 }, { trace: true });
  t.is(reply.text(), '{"x":1}');
  t.is(reply.trace?.version, 1);
  t.true((reply.trace?.endedAt ?? 0) >= (reply.trace?.startedAt ?? Number.POSITIVE_INFINITY));
  t.is((await pilot.call("echo:1", 1)).trace, undefined);
});

test("F002 code in the call runs, in either runtime", async (t) => {
  t.is(await pilot.invokeInline("export const handler = (event) => event.length", [1, 2, 3]), 3);
  t.is(await pilot.invokeInline("def work(event, context):\n    return sum(event)", [1, 2, 3], { runtime: "python", handler: "work" }), 6);
  t.is((await failure(t, pilot.invokeInline("export const handler = (", 1))).name, "BadCode");
});

test("errors are typed: what happened, whose fault, whether again, and the stack of the function", async (t) => {
  const missing = await failure(t, pilot.invoke("nothing"));
  t.like(missing, { name: "FunctionNotFound", code: 404, fault: "caller", retry: "no" });
  await platform.deploy("throws", 'export const handler = () => { throw new RangeError("out of lamps"); }');
  const thrown = await failure(t, pilot.invoke("throws", {}, { trace: true }));
  t.like(thrown, { name: "HandlerError", code: 500, fault: "function" });
  t.regex(thrown.functionStack ?? "", /RangeError: out of lamps/);
  t.regex(thrown.headers["Pilot-Call"] ?? "", /./);
  t.true(thrown.next.length > 0);
  t.is((await failure(t, pilot.invoke("echo", {}, { timeoutMs: 0 }))).name, "BadRequest");
  t.is((await failure(t, pilot.invoke("a.b.c"))).name, "BadName");
  t.is((await failure(t, pilot.invoke("echo", {}, { headers: { "Pilot-Nonsense": "1" } }))).name, "BadHeader");
});

test("a deadline, a time limit and patience each end a call in time", async (t) => {
  t.is((await failure(t, pilot.invoke("slow", 30_000, { timeoutMs: 200 }))).name, "TimedOut");
  await platform.deploy("single", SLOW, { settings: { class: "rare", containers: 1 } });
  const first = pilot.invoke("single", 2_000);
  await until(
    () =>
      platform
        .fleet()
        .then(
          ({ hosts }) =>
            hosts.some((host) =>
              host.instances.some(({ containers }) => containers.some((one) => one.function === "single" && one.state === "busy")),
            ) || undefined,
        ),
    "the first to run",
    15_000,
  );
  const throttled = await failure(t, pilot.invoke("single", 1, { deadlineMs: 300 }));
  t.is(throttled.name, "Throttled");
  await first;
  t.is((await failure(t, pilot.invoke("slow", 5_000, { patienceMs: 100 }))).name, "InstanceLost");
});

test("a signal ends the wait at once and the run itself, without any rights", async (t) => {
  const stop = new AbortController();
  const call = pilot.invoke("long", "aborted", { signal: stop.signal });
  const { call: id } = await running("aborted");
  stop.abort();
  t.is((await failure(t, call)).name, "Cancelled");
  const record = await until(
    async () => (await platform.operator.bus.ask(showCall, [], { id: id ?? "" }).catch(() => undefined))?.call,
    "the record of the call",
    15_000,
  );
  t.is(record.error, "Cancelled");
  t.is((await failure(t, pilot.invoke("echo", 1, { signal: AbortSignal.abort() }))).name, "Cancelled");
});

test("a body and a result of 10 MB pass unseen, with progress; above the last limit both are refused", async (t) => {
  const size = 10_000_000;
  const body = new Uint8Array(size).map((_, at) => (at * 31) & 255);
  const seen: string[] = [];
  const back = await pilot.call("echo", body, { onProgress: ({ direction, done, total }) => seen.push(`${direction} ${done === total}`) });
  t.true(Buffer.from(back.bytes).equals(body));
  t.true(seen.includes("up true"));
  t.true(seen.includes("down true"));
  t.is((await pilot.call("echo", new Uint8Array(BODY_LIMIT + 1).fill(255))).bytes.length, BODY_LIMIT + 1);
  t.is((await failure(t, pilot.call("echo", new Uint8Array(LIMITS.largeBody.value + 1)))).name, "PayloadTooLarge");
});

test("many calls at a time are all answered, each with its own", async (t) => {
  const answers = await Promise.all(Array.from({ length: 500 }, (_, nth) => pilot.invoke("echo", { nth })));
  t.deepEqual(
    answers,
    Array.from({ length: 500 }, (_, nth) => ({ nth })),
  );
  t.is(pilot.open, 0);
});

test("close waits for what is open and takes nothing new", async (t) => {
  const closing = await open();
  const call = closing.invoke("slow", 500);
  const closed = closing.close();
  t.is((await failure(t, closing.invoke("echo", 1))).name, "Unavailable");
  t.deepEqual(await call, { slept: 500 });
  await closed;
  t.false(closing.connected);
  const impatient = await open();
  const lost = failure(t, impatient.invoke("slow", 20_000));
  await impatient.close({ timeoutMs: 50 });
  t.is((await lost).name, "Cancelled");
});

test("a broker that is not there and a credential that it refuses are told apart", async (t) => {
  t.is((await failure(t, connect({ servers: "nats://127.0.0.1:1" }))).name, "Unavailable");
  t.is((await failure(t, connect({ servers: platform.running.nats, user: "operator", password: "guess" }))).name, "NotAllowed");
  t.is((await failure(t, connect({ servers: platform.running.nats, inboxPrefix: "mine" }))).name, "BadRequest");
  t.is((await failure(t, connect({ servers: platform.running.nats, account: "No!" }))).name, "BadName");
});

test("the package's name imports the client, and its types are there", (t) => {
  const root = projectRoot();
  const program = `import { connect, isPilotError } from "pilotlight";
    const pilot = await connect({ servers: process.argv[1] });
    try { console.log(JSON.stringify(await pilot.invoke("echo", { by: "name" }))); } finally { await pilot.close(); }`;
  const run = spawnSync(process.execPath, ["--input-type=module", "-e", program, platform.running.nats], { cwd: root, encoding: "utf8" });
  t.is(run.stdout.trim(), '{"by":"name"}', run.stderr);
  const declared = spawnSync("test", ["-f", join(root, "dist", "client", "index.d.ts")]);
  t.is(declared.status, 0);
});

test("the example of the client runs as it stands", async (t) => {
  const root = projectRoot();
  await platform.deployPath("hello", join(root, "examples", "01-hello"));
  const run = spawnSync(process.execPath, [join(root, "examples", "client.mjs")], {
    encoding: "utf8",
    env: { ...process.env, NATS_URL: platform.running.nats },
  });
  t.is(run.status, 0, run.stderr);
  const [, told, inline, last] = run.stdout.trim().split("\n");
  t.regex(told ?? "", /^\d+ bytes, rung \w+$/);
  t.deepEqual([inline, last], ["3", "cancelled"]);
});

test("a broker that is started again: calls made meanwhile run when it is back, those under way end or are answered, and statuses tell", async (t) => {
  const told: string[] = [];
  const patient = await open({ onStatus: (status) => told.push(status) });
  const hasty = await open({ whileAway: "fail", underWay: "fail" });
  t.teardown(() => Promise.all([patient.close({ timeoutMs: 1_000 }), hasty.close({ timeoutMs: 1_000 })]));
  await Promise.all([patient.invoke("echo", 1), hasty.invoke("echo", 1)]);
  const underWay = failure(t, hasty.invoke("long", "hasty"));
  const answered = patient.invoke("logs", "patient");
  await running("hasty");
  await running("patient", "logs");
  process.kill(platform.running.pidOf("broker") ?? 0, "SIGKILL");
  await until(() => (!patient.connected && !hasty.connected ? true : undefined), "the connections to be lost");
  t.is((await underWay).name, "InstanceLost");
  t.like(await failure(t, hasty.invoke("echo", 2)), { name: "Unavailable", neverRan: true });
  t.is(await patient.invoke("echo", 2, { deadlineMs: 30_000 }), 2);
  t.is(await answered, "patient");
  t.deepEqual(told.slice(0, 3), ["connected", "disconnected", "reconnected"]);
  t.is(await until(() => hasty.invoke("echo", 3).catch(() => undefined), "the hasty one to work again", 20_000), 3);
});
