import test from "ava";
import fc from "fast-check";
import { LIMITS } from "../../../protocol/limits.ts";
import { openCallPath } from "../../support/call-path.ts";
import { instance, warmInstance } from "../../support/fleet.ts";

const ECHO = "main.echo.1@128";
const idle = (id = "i1") => instance({ id, usedMb: 128, slots: [{ key: ECHO, idle: 1, busy: 0, loading: 0 }], code: ["main.echo.1"] });

/** One frontend, one scheduler, one host, and a deployed echo. */
async function open() {
  const path = await openCallPath();
  const scheduler = await path.scheduler();
  const frontend = await path.frontend();
  const host = path.host();
  await path.deploy();
  await path.clock.advance(10);
  return { ...path, newHost: path.host, addScheduler: path.scheduler, scheduler, frontend, host, caller: path.caller() };
}

test("a call with an idle container goes to its host in one hop and its reply straight to the caller", async (t) => {
  const { clock, host, caller } = await open();
  host.announce({ instances: [idle()] });
  await clock.settle();
  caller.call("pilot.fn.main.echo", "hi");
  await clock.settle();
  const [order] = host.orders;
  t.is(order?.head.place?.rung, "hot");
  t.is(order?.head.place?.by, "frontend");
  if (order) host.finish(order);
  await clock.settle();
  t.is(caller.replies[0]?.body, "done hi");
});

test("two calls do not both go to one idle container", async (t) => {
  const { clock, host, caller } = await open();
  host.announce({ instances: [idle()] });
  await clock.settle();
  caller.call("pilot.fn.main.echo");
  caller.call("pilot.fn.main.echo");
  await clock.settle();
  t.deepEqual(host.orders.map((order) => order.head.place?.by).sort(), ["frontend", "keeper"]);
});

test("F009 unknown functions, bad names and bad headers are refused with typed errors and reach no host", async (t) => {
  const { clock, host, caller } = await open();
  host.announce({ instances: [idle(), warmInstance("w1")] });
  await clock.settle();
  const refused: [string, Record<string, string> | undefined, string][] = [
    ["pilot.fn.main.nothing", undefined, "FunctionNotFound"],
    ["pilot.fn.main.echo.7", undefined, "FunctionNotFound"],
    ["pilot.fn.main.echo.blue", undefined, "FunctionNotFound"],
    ["pilot.fn.a.b.c.d", undefined, "BadName"],
    ["pilot.fn.main", undefined, "BadName"],
    [`pilot.fn.main.${"x".repeat(300)}`, undefined, "BadName"],
    ["pilot.fn.main.Größe", undefined, "BadName"],
    ["pilot.fn.main.echo", { "Pilot-Memory": "0" }, "BadHeader"],
    ["pilot.fn.main.echo", { "Pilot-Memory": "-1" }, "BadHeader"],
    ["pilot.fn.main.echo", { "Pilot-Memory": "1000000" }, "BadHeader"],
    ["pilot.fn.main.echo", { "Pilot-Timeout": "soon" }, "BadHeader"],
    ["pilot.fn.main.echo", { "Pilot-Nonsense": "1" }, "BadHeader"],
    ["pilot.fn.main.echo", { "pilot-chain": "main.echo" }, "BadHeader"],
    ["pilot.fn.main.echo", { "Pilot-Runtime": "../../x" }, "BadHeader"],
  ];
  for (const [subject, headers] of refused) caller.call(subject, "x", headers);
  await clock.settle();
  t.deepEqual(caller.replies.map((reply) => reply.error).sort(), refused.map(([, , error]) => error).sort());
  t.is(host.orders.length, 0);
});

test("header names are read in any case and foreign headers are left alone", async (t) => {
  const { clock, host, caller } = await open();
  host.announce({ instances: [idle()] });
  await clock.settle();
  caller.call("pilot.fn.main.echo", "x", { "pilot-trace": "1", "X-Mine": "anything", traceparent: "00-1-2-01" });
  await clock.settle();
  t.true(host.orders[0]?.head.trace);
  t.is(host.orders[0]?.head.traceparent, "00-1-2-01");
});

test("a reply subject outside callers' inboxes is never answered, and nothing runs for it", async (t) => {
  const { clock, broker, host, caller, frontend } = await open();
  host.announce({ instances: [idle()] });
  await clock.settle();
  const answered: string[] = [];
  broker.tap((packet) => answered.push(packet.subject));
  const forged = [
    "_pilot.node.frontend-1.sync",
    "_pilot.host.h1",
    "pilot.fn.main.echo",
    "_INBOX.*.x",
    "_INBOX.",
    "_INBOX.a..b",
    `_INBOX.${"x".repeat(4_096)}`,
    "$JS.API.STREAM.DELETE.KV_pilot_functions",
  ];
  for (const reply of forged) {
    caller.call("pilot.fn.main.echo", "x", undefined, reply);
    caller.call("pilot.fn.main.nothing", "x", undefined, reply);
  }
  await clock.settle();
  t.is(host.orders.length, 0);
  t.false(answered.some((subject) => forged.includes(subject) && !subject.startsWith("pilot.fn")));
  t.is(frontend.counters()["dropped.badReply"], forged.length * 2);
});

test("a publish without reply subject runs nothing and is counted", async (t) => {
  const { clock, host, caller, frontend } = await open();
  host.announce({ instances: [idle()] });
  await clock.settle();
  caller.call("pilot.fn.main.echo", "x", undefined, "");
  await clock.settle();
  t.is(host.orders.length, 0);
  t.is(frontend.counters()["dropped.noReply"], 1);
});

test("whatever subject a caller sends, it gets a typed error or a placed call, never silence", async (t) => {
  const { clock, host, caller } = await open();
  host.announce({ instances: [idle()] });
  await clock.settle();
  const token = fc.oneof(fc.constantFrom("main", "echo", "live", "1", "ÄÖ", "__proto__"), fc.stringMatching(/^[!-)+-\-/-=?-~]{1,8}$/));
  await fc.assert(
    fc.asyncProperty(fc.array(token, { minLength: 1, maxLength: 6 }), async (tokens) => {
      const before = caller.replies.length + host.orders.length;
      caller.call(["pilot", "fn", ...tokens].join("."));
      await clock.settle();
      return caller.replies.length + host.orders.length === before + 1;
    }),
    { numRuns: 100 },
  );
  t.pass();
});

test("F007 a request's own time limit reaches the host, and never above the function's", async (t) => {
  const { clock, host, caller, deploy } = await open();
  await deploy("echo", { timeoutMs: 1_000 });
  host.announce({ instances: [idle()] });
  await clock.settle();
  caller.call("pilot.fn.main.echo", "x", { "Pilot-Timeout": "200" });
  caller.call("pilot.fn.main.echo", "x", { "Pilot-Timeout": "60000" });
  await clock.settle();
  t.deepEqual(host.orders.map((order) => order.head.timeoutMs).sort(), [1_000, 200]);
});

test("F006 an account's time limit bounds every run of it, and an inactive account runs nothing", async (t) => {
  const { clock, host, caller, buckets } = await open();
  host.announce({ instances: [idle()] });
  await buckets.accounts.put("main", { name: "main", timeoutMs: 1_000, containers: 10, active: true, createdAt: 0 });
  await clock.settle();
  caller.call("pilot.fn.main.echo");
  await clock.settle();
  t.is(host.orders[0]?.head.timeoutMs, 1_000);
  await buckets.accounts.put("main", { name: "main", containers: 10, active: false, createdAt: 0 });
  await clock.settle();
  caller.call("pilot.fn.main.echo");
  await clock.settle();
  t.is(caller.replies.at(-1)?.error, "NotAllowed");
});

test("F008 a request's memory amount makes a container of that amount, and the next call has the stored one again", async (t) => {
  const { clock, host, caller } = await open();
  host.announce({ instances: [idle(), warmInstance("w1")] });
  await clock.settle();
  caller.call("pilot.fn.main.echo", "x", { "Pilot-Memory": "512" });
  await clock.settle();
  t.is(host.orders[0]?.head.memoryMb, 512);
  t.not(host.orders[0]?.head.place?.rung, "hot");
  caller.call("pilot.fn.main.echo");
  await clock.settle();
  t.is(host.orders[1]?.head.memoryMb, 128);
  t.is(host.orders[1]?.head.place?.rung, "hot");
});

test("a body over the limit is refused with its size", async (t) => {
  const { clock, caller, frontend } = await open();
  caller.call("pilot.fn.main.echo", "x".repeat(LIMITS.brokerPayload.value - LIMITS.payloadReserve.value + 1));
  await clock.settle();
  t.is(caller.replies[0]?.error, "PayloadTooLarge");
  t.is(frontend.counters()["limit.brokerPayload"], 1);
  t.is(caller.replies[0]?.header("Nats-Service-Error-Code"), "413");
});

test("F002 code in the request is placed by its digest and needs no registered function", async (t) => {
  const { clock, host, caller, buckets } = await open();
  host.announce({ instances: [warmInstance("w1")] });
  await clock.settle();
  const stored = buckets.functions.keys().length;
  caller.call("pilot.inline.main", JSON.stringify({ runtime: "node", code: "export const handler = (e) => e", event: { x: 1 } }));
  await clock.settle();
  const [order] = host.orders;
  t.is(order?.head.inline?.digest, "0".repeat(64));
  t.is(order?.head.version, 0);
  t.is(order?.body, '{"x":1}');
  t.is(buckets.functions.keys().length, stored);
});

test("F002 malformed code requests are refused with what is wrong", async (t) => {
  const { clock, caller, host } = await open();
  for (const body of [
    "",
    "not json",
    "[]",
    "{}",
    '{"code":""}',
    '{"code":"x","runtime":"cobol"}',
    '{"code":"x","surprise":1}',
    '{"code":"x","memoryMb":-1}',
  ])
    caller.call("pilot.inline.main", body);
  caller.call("pilot.inline.main.more", '{"code":"x"}');
  await clock.settle();
  t.is(caller.replies.length, 9);
  for (const reply of caller.replies) t.true(["BadRequest", "BadName"].includes(reply.error ?? ""), reply.error);
  t.is(host.orders.length, 0);
});

test("F050 a call whose host dies before it took it goes elsewhere; one that ran ends as InstanceLost", async (t) => {
  const { clock, host: first, caller, close } = await open();
  first.announce({ instances: [idle(), idle("i2")] });
  await clock.settle();
  caller.call("pilot.fn.main.echo", "untaken");
  caller.call("pilot.fn.main.echo", "running");
  await clock.settle();
  const running = first.orders.find((order) => order.body === "running");
  if (running) first.take(running);
  await clock.settle();
  first.epoch = "e2";
  first.announce({ instances: [warmInstance("w1")] });
  await clock.settle();
  const again = first.orders.filter((order) => order.body === "untaken");
  t.is(again.length, 2);
  t.is(caller.replies.length, 1);
  t.is(caller.replies[0]?.error, "InstanceLost");
  close();
});

test("F050 an idempotent call that ran when its host died runs again", async (t) => {
  const { clock, host, caller, deploy } = await open();
  await deploy("echo", { idempotent: true });
  host.announce({ instances: [idle()] });
  await clock.settle();
  caller.call("pilot.fn.main.echo", "again");
  await clock.settle();
  if (host.orders[0]) host.take(host.orders[0]);
  await clock.settle();
  host.epoch = "e2";
  host.announce({ instances: [idle()] });
  await clock.settle();
  t.is(host.orders.length, 2);
  t.is(host.orders[1]?.head.attempt, 2);
  t.is(host.orders[1]?.head.call, host.orders[0]?.head.call);
  if (host.orders[1]) host.finish(host.orders[1]);
  await clock.settle();
  t.deepEqual(
    caller.replies.map((reply) => reply.body),
    ["done again"],
  );
});

test("F050 an idempotent call whose host died after it had run for long may wait for its new place as long as for its first", async (t) => {
  const { clock, host, caller, deploy } = await open();
  await deploy("echo", { idempotent: true, timeoutMs: 60_000 });
  host.announce({ instances: [idle()] });
  await clock.settle();
  caller.call("pilot.fn.main.echo", "again");
  await clock.settle();
  if (host.orders[0]) host.take(host.orders[0]);
  for (let ms = 0; ms < 2 * LIMITS.waitForPlace.value; ms += LIMITS.nodeHeartbeat.value) {
    host.announce({ instances: [idle()] });
    await clock.advance(LIMITS.nodeHeartbeat.value);
  }
  host.epoch = "e2";
  host.announce({ instances: [idle()] });
  await clock.settle();
  t.is(host.orders.length, 2);
  await clock.advance(LIMITS.nodeHeartbeat.value);
  t.is(caller.replies.length, 0);
  if (host.orders[1]) host.finish(host.orders[1]);
  await clock.settle();
  t.deepEqual(
    caller.replies.map((reply) => reply.body),
    ["done again"],
  );
  t.is(host.orders[1]?.head.waitMs, LIMITS.waitForPlace.value);
});

test("calls waiting at a scheduler that dies are placed by its successor, once", async (t) => {
  const { clock, host, caller, scheduler, addScheduler } = await open();
  host.announce();
  host.announce({ runtimes: { node: "node 20.20.2" }, memoryMb: 0 });
  await clock.settle();
  host.announce({ memoryMb: 8_192, draining: true });
  await clock.settle();
  for (let nth = 0; nth < 10; nth++) caller.call("pilot.fn.main.echo", `w${nth}`, { "Pilot-Deadline": "20000" });
  await clock.settle();
  t.is(host.orders.length, 0);
  scheduler.bus.disconnect();
  await addScheduler("scheduler-2");
  await clock.advance(1_000);
  host.announce({ instances: [instance({ spares: 8, memoryMb: 4_096 })] });
  for (let step = 0; step < 12; step++) {
    await clock.advance(250);
    host.announce({ instances: [instance({ spares: 8, memoryMb: 4_096 })] });
  }
  await clock.settle();
  t.deepEqual(
    host.orders.map((order) => order.body).sort(),
    Array.from({ length: 10 }, (_, nth) => `w${nth}`),
  );
});

test("with no scheduler at all a call ends as Unavailable when the time it may wait is over, and one that may wait longer is served by a scheduler that comes", async (t) => {
  const path = await openCallPath();
  await path.frontend();
  await path.deploy();
  const caller = path.caller();
  caller.call("pilot.fn.main.echo");
  caller.call("pilot.fn.main.echo", "patient", { "Pilot-Deadline": "20000" });
  await path.clock.advance(LIMITS.waitForPlace.value + 500);
  t.is(caller.replies[0]?.error, "Unavailable");
  t.is(caller.replies.length, 1);
  await path.scheduler();
  const host = path.host();
  host.announce({ instances: [warmInstance("w1")] });
  await path.clock.advance(1_000);
  t.deepEqual(
    host.orders.map((order) => order.body),
    ["patient"],
  );
});

test("draining leaves the desk and ends when the calls it holds are done", async (t) => {
  const { clock, broker, host, caller, frontend } = await open();
  host.announce({ instances: [idle()] });
  await clock.settle();
  caller.call("pilot.fn.main.echo");
  await clock.settle();
  let drained = false;
  void frontend.drain().then(() => (drained = true));
  await clock.advance(100);
  t.is(broker.interest("pilot.fn.main.echo"), 0);
  t.false(drained);
  if (host.orders[0]) host.finish(host.orders[0]);
  await clock.advance(100);
  t.true(drained);
  t.is(caller.replies.length, 1);
});

test("draining waits for code inside a request that is still being bundled, and for a function that is still being read", async (t) => {
  const path = await openCallPath();
  const { clock, buckets } = path;
  await path.scheduler();
  let bundled: (digest: string) => void = () => undefined;
  const frontend = await path.frontend("frontend-1", () => new Promise((resolve) => (bundled = resolve)));
  const host = path.host();
  host.announce({ instances: [warmInstance("w1"), warmInstance("w2")] });
  await clock.settle();
  const caller = path.caller();
  let read: () => void = () => undefined;
  buckets.functions.before = () => new Promise<void>((resolve) => (read = resolve));
  caller.call("pilot.inline.main", JSON.stringify({ runtime: "node", code: "export const handler = (e) => e" }));
  caller.call("pilot.fn.main.absent");
  await clock.settle();
  let drained = false;
  void frontend.drain().then(() => (drained = true));
  await clock.advance(500);
  t.false(drained);
  bundled("0".repeat(64));
  await clock.advance(50);
  for (const order of host.orders) host.finish(order, "done");
  await clock.advance(50);
  t.false(drained);
  t.deepEqual(
    caller.replies.map(({ body }) => body),
    ["done"],
  );
  buckets.functions.before = () => undefined;
  read();
  await clock.advance(50);
  t.true(drained);
  t.is(caller.replies[1]?.error, "FunctionNotFound");
});

test("a frontend that is cut off while a call's time runs out answers when it is back", async (t) => {
  const { clock, host, caller, frontend, scheduler } = await open();
  host.announce({ memoryMb: 128, usedMb: 128 });
  await clock.settle();
  caller.call("pilot.fn.main.echo", "x", { "Pilot-Deadline": "200" });
  await clock.settle();
  scheduler.bus.disconnect();
  frontend.bus.disconnect();
  await clock.advance(3_000);
  t.is(caller.replies.length, 0);
  frontend.bus.reconnect();
  await clock.advance(1_000);
  t.is(caller.replies[0]?.error, "Throttled");
});

test("a frontend that hears late which host took a call, and that this life of the host is over, speaks for it", async (t) => {
  const { clock, broker, host, caller } = await open();
  host.announce({ instances: [warmInstance("w1")] });
  await clock.settle();
  caller.call("pilot.fn.main.echo");
  await clock.settle();
  const [order] = host.orders;
  // The owner is not told that it was taken; its keeper is.
  broker.fault = (packet) => (packet.subject === "_pilot.report.frontend-1" ? "drop" : undefined);
  if (order) host.take(order);
  await clock.settle();
  broker.fault = () => undefined;
  host.epoch = "e2";
  host.announce();
  await clock.advance(2_000);
  t.deepEqual(
    caller.replies.map(({ error }) => error),
    ["InstanceLost"],
  );
});
