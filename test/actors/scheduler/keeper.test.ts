import test from "ava";
import { rendezvous } from "../../../actors/kit/rendezvous.ts";
import { joinHead } from "../../../protocol/codec.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { SUBJECT } from "../../../protocol/subjects.ts";
import { openCallPath } from "../../support/call-path.ts";
import { instance, warmInstance } from "../../support/fleet.ts";
import { MemoryBus } from "../../support/memory-bus.ts";

const ECHO = "main.echo.1@128";

async function open() {
  const path = await openCallPath();
  const scheduler = await path.scheduler();
  const frontend = await path.frontend();
  const host = path.host();
  await path.deploy();
  await path.clock.advance(10);
  return { ...path, newHost: path.host, scheduler, frontend, host, caller: path.caller() };
}

test("a first call is placed on a warm instance with its cause", async (t) => {
  const { clock, host, caller } = await open();
  host.announce({ instances: [warmInstance("w1")] });
  await clock.settle();
  caller.call("pilot.fn.main.echo");
  await clock.settle();
  t.is(host.orders[0]?.head.place?.rung, "warm");
  t.is(host.orders[0]?.head.place?.coldCause, "first");
});

test("a keeper that has just begun, and hands a call over before it has heard the frontend, does not speak for it", async (t) => {
  const path = await openCallPath();
  await path.frontend();
  await path.deploy();
  await path.clock.advance(100);
  await path.scheduler("scheduler-1");
  await path.clock.advance(20);
  const caller = path.caller();
  caller.call("pilot.fn.main.echo");
  await path.clock.advance(20);
  const other = Array.from({ length: 50 }, (_, nth) => `s${nth}`).find((id) => rendezvous("main.echo", ["scheduler-1", id]) === id) ?? "";
  await path.scheduler(other);
  await path.clock.advance(200);
  t.deepEqual(caller.replies, []);
  const host = path.host();
  host.announce({ instances: [warmInstance("w1")] });
  await path.clock.advance(1_000);
  t.is(host.orders.length, 1);
  if (host.orders[0]) host.finish(host.orders[0], "done");
  await path.clock.settle();
  t.deepEqual(
    caller.replies.map(({ body }) => body),
    ["done"],
  );
});

test("F022 parallel first calls take one warm instance; the others wait and become its containers", async (t) => {
  const { clock, host, caller } = await open();
  host.announce({ instances: [warmInstance("w1"), warmInstance("w2"), warmInstance("w3")] });
  await clock.settle();
  for (let nth = 0; nth < 5; nth++) caller.call("pilot.fn.main.echo", `${nth}`);
  await clock.settle();
  t.is(host.orders.length, 1);
  host.announce({
    instances: [
      instance({ id: "w1", usedMb: 128, spares: 0, slots: [{ key: ECHO, idle: 0, busy: 0, loading: 1 }] }),
      warmInstance("w2"),
      warmInstance("w3"),
    ],
  });
  if (host.orders[0]) host.take(host.orders[0]);
  await clock.settle();
  t.is(host.orders.length, 5);
  for (const order of host.orders.slice(1)) t.is(order.head.place?.instance, "w1");
});

test("a refusal sends the call to the next rung with a higher attempt", async (t) => {
  const { clock, host, caller } = await open();
  host.announce({ instances: [warmInstance("w1")] });
  await clock.settle();
  caller.call("pilot.fn.main.echo");
  await clock.settle();
  if (host.orders[0]) host.refuse(host.orders[0], "no-instance");
  await clock.settle();
  t.is(host.orders.length, 2);
  t.is(host.orders[1]?.head.place?.rung, "cold");
  t.is(host.orders[1]?.head.attempt, 2);
});

test("a host that always refuses ends the call as Throttled after a bounded number of attempts", async (t) => {
  const { clock, host, caller } = await open();
  host.announce();
  await clock.settle();
  caller.call("pilot.fn.main.echo", "x", { "Pilot-Deadline": "60000" });
  for (let nth = 0; nth < 20; nth++) {
    await clock.settle();
    const last = host.orders.at(-1);
    if (last) host.refuse(last, "no-capacity");
    await clock.settle();
    host.announce();
  }
  await clock.settle();
  t.is(host.orders.length, LIMITS.attempts.value);
  t.is(caller.replies[0]?.error, "Throttled");
});

test("what finds no place waits, is placed when room appears, and is Throttled with a hint when its time is over", async (t) => {
  const { clock, host, caller } = await open();
  host.announce({ memoryMb: 128, usedMb: 128 });
  await clock.settle();
  caller.call("pilot.fn.main.echo", "patient", { "Pilot-Deadline": "5000" });
  caller.call("pilot.fn.main.echo", "hasty", { "Pilot-Deadline": "200" });
  for (let nth = 0; nth < 4; nth++) {
    await clock.advance(100);
    host.announce({ memoryMb: 128, usedMb: 128 });
  }
  t.is(host.orders.length, 0);
  t.is(caller.replies.length, 1);
  t.is(caller.replies[0]?.error, "Throttled");
  t.is(caller.replies[0]?.header("Nats-Service-Error-Code"), "429");
  t.truthy(caller.replies[0]?.header("Pilot-Retry-After"));
  host.announce({ instances: [warmInstance("w1")] });
  await clock.settle();
  t.deepEqual(
    host.orders.map((order) => order.body),
    ["patient"],
  );
});

test("a host that looks absent is tried again, and the call is not placed elsewhere while it may be alive", async (t) => {
  const { clock, host, caller, newHost } = await open();
  const second = newHost("h2");
  host.announce({ instances: [warmInstance("w1")] });
  await clock.settle();
  await host.leave();
  caller.call("pilot.fn.main.echo");
  await clock.advance(300);
  second.announce({ instances: [warmInstance("w2")] });
  await clock.advance(500);
  host.announce({ instances: [warmInstance("w1")] });
  t.is(second.orders.length, 0);
  await clock.advance(LIMITS.absentHost.value);
  t.is(second.orders.length, 1);
});

test("the same call is never sent twice to hosts that stay silent", async (t) => {
  const { clock, host, caller } = await open();
  host.announce({ instances: [warmInstance("w1"), warmInstance("w2")] });
  await clock.settle();
  caller.call("pilot.fn.main.echo");
  for (let nth = 0; nth < 10; nth++) {
    await clock.advance(100);
    host.announce({ instances: [warmInstance("w1"), warmInstance("w2")] });
  }
  t.is(host.orders.length, 1);
});

test("a full waiting room refuses at once, and takes nothing from those that wait", async (t) => {
  const { clock, host, caller } = await open();
  host.announce({ memoryMb: 128, usedMb: 128 });
  await clock.settle();
  for (let nth = 0; nth <= LIMITS.waitingCalls.value; nth++) caller.call("pilot.fn.main.echo", `${nth}`);
  await clock.settle();
  t.is(caller.replies.length, 1);
  t.is(caller.replies[0]?.error, "Throttled");
});

test("long direct calls of a host that dies are answered by the keeper", async (t) => {
  const { clock, broker, host, caller } = await open();
  const { MemoryBus } = await import("../../support/memory-bus.ts");
  const { callReport } = await import("../../../protocol/messages/call.ts");
  host.announce();
  await clock.settle();
  const asHost = new MemoryBus(broker, "h1-control");
  const empty = { from: "h1", epoch: "e1", taken: [], done: [], placedTaken: [], placedDone: [] };
  asHost.tell(callReport, ["scheduler-1"], {
    ...empty,
    long: [
      { call: "c1", reply: "_INBOX.caller.long" },
      { call: "c2", reply: "_INBOX.caller.ended" },
    ],
  });
  asHost.tell(callReport, ["scheduler-1"], { ...empty, longEnded: ["c2"] });
  await clock.advance(LIMITS.hostSilence.value + 500);
  t.deepEqual(
    caller.replies.map((reply) => reply.error),
    ["InstanceLost"],
  );
});

test("a call for which there is no room holds back no call of the same function that needs less", async (t) => {
  const { clock, host, caller } = await open();
  host.announce({ memoryMb: 2_048, usedMb: 1_800, instances: [instance({ memoryMb: 1_024, usedMb: 700 })] });
  await clock.settle();
  caller.call("pilot.fn.main.echo", "large", { "Pilot-Memory": "1500" });
  caller.call("pilot.fn.main.echo", "small");
  await clock.settle();
  t.deepEqual(
    host.orders.map(({ body }) => body),
    ["small"],
  );
});

test("with more waiting functions than are looked at in one go, one of which a container becomes idle is served at once, and all others in turn", async (t) => {
  const { clock, host, caller, deploy } = await open();
  const names = Array.from({ length: 300 }, (_, nth) => `f${nth}`);
  for (const name of names) await deploy(name);
  host.announce({ memoryMb: 128, usedMb: 128 });
  await clock.settle();
  for (const name of names) caller.call(`pilot.fn.main.${name}`, name, { "Pilot-Deadline": "60000" });
  await clock.advance(50);
  t.is(host.orders.length, 0);
  host.announce({
    memoryMb: 128,
    usedMb: 128,
    instances: [instance({ usedMb: 128, memoryMb: 128, slots: [{ key: "main.f250.1@128", idle: 1, busy: 0, loading: 0 }] })],
  });
  await clock.settle();
  t.deepEqual(
    host.orders.map(({ body }) => body),
    ["f250"],
  );
  host.announce({ memoryMb: 1_000_000, instances: [instance({ memoryMb: 900_000 })] });
  // Only so many are on order at a time.
  for (let taken = 0; taken < host.orders.length; ) {
    for (const order of host.orders.slice(taken)) host.take(order);
    taken = host.orders.length;
    await clock.advance(100);
  }
  t.is(host.orders.length, 300);
});

test("an order that was lost on the way is asked after, and not placed again while its host is silent", async (t) => {
  const { clock, broker, scheduler, host, caller } = await open();
  host.announce({ instances: [warmInstance("w1")] });
  await clock.settle();
  broker.fault = (packet, to) => (to === "h1" && packet.subject === "_pilot.host.h1" ? "drop" : undefined);
  caller.call("pilot.fn.main.echo");
  await clock.advance(100);
  t.is(host.orders.length, 0);
  broker.fault = () => undefined;
  for (let nth = 0; nth < 10; nth++) {
    host.announce({ instances: [warmInstance("w1")] });
    await clock.advance(100);
  }
  // The pretend host answers no question, so nothing may be placed again.
  t.is(host.orders.length, 0);
  t.true((scheduler.counters()["probed"] ?? 0) > 0);
});

test("a keeper that was cut off for so long that it may have been declared lost gives its calls back, and keeps none", async (t) => {
  const { clock, scheduler, host, caller } = await open();
  host.announce({ memoryMb: 128, usedMb: 128 });
  await clock.settle();
  caller.call("pilot.fn.main.echo", "x", { "Pilot-Deadline": "20000" });
  await clock.settle();
  t.is(scheduler.held()["waiting"], 1);
  scheduler.bus.disconnect();
  await clock.advance(LIMITS.hostSilence.value + 600);
  scheduler.bus.reconnect();
  await clock.advance(1_000);
  // Its owner, which had nobody else, has sent it again: it is held once.
  t.is(scheduler.held()["waiting"], 1);
  t.is(scheduler.counters()["givenBack"], 1);
  for (let nth = 0; nth < 5; nth++) {
    host.announce({ instances: [warmInstance("w1")] });
    await clock.advance(100);
  }
  t.is(host.orders.length, 1);
});

test("F013 the order of a container says what it loads, unless the environment is large; a hot one does not", async (t) => {
  const { clock, host, caller, buckets } = await open();
  const small = (await buckets.versions.get("main.echo.1"))?.value;
  host.announce({ instances: [warmInstance("w1")] });
  await clock.settle();
  caller.call("pilot.fn.main.echo", "first");
  await clock.settle();
  t.is(host.orders[0]?.head.place?.rung, "warm");
  const { digest, runtime, handler, environment, network } = small ?? {};
  t.deepEqual(host.orders[0]?.head.code as unknown, { digest, runtime, handler, environment, network });
  if (host.orders[0]) host.take(host.orders[0]);
  host.announce({ instances: [instance({ id: "w1", slots: [{ key: ECHO, idle: 1, busy: 0, loading: 0 }] })] });
  await clock.settle();
  caller.call("pilot.fn.main.echo", "hot");
  await clock.settle();
  t.is(host.orders[1]?.head.place?.rung, "hot");
  t.is(host.orders[1]?.head.code, undefined);
});

test("an environment too large to travel is left to the host to read", async (t) => {
  const { clock, host, caller, buckets } = await open();
  const stored = (await buckets.versions.get("main.echo.1"))?.value;
  for (const [key, bytes] of [
    ["A", LIMITS.orderedEnvironment.value - 1],
    ["B", LIMITS.orderedEnvironment.value],
  ] as const) {
    const version = key === "A" ? 2 : 3;
    if (stored) await buckets.versions.put(`main.echo.${version}`, { ...stored, version, environment: { [key]: "x".repeat(bytes) } });
    const record = (await buckets.functions.get("main.echo"))?.value;
    if (record) await buckets.functions.put("main.echo", { ...record, versions: [1, 2, 3], aliases: { live: [{ version, weight: 100 }] } });
    await clock.settle();
    host.announce({ instances: [warmInstance("w1"), warmInstance("w2")] });
    await clock.settle();
    caller.call("pilot.fn.main.echo", key);
    await clock.settle();
    const order = host.orders.at(-1);
    t.is(order?.body, key);
    t.is(order?.head.code === undefined, key === "B");
    if (order) host.take(order);
    if (order) host.finish(order);
  }
});

test("a head that claims to know what its version loads is refused: only the keeper says it", async (t) => {
  const { clock, host, broker } = await open();
  host.announce({ instances: [warmInstance("w1")] });
  await clock.settle();
  const forger = new MemoryBus(broker, "forger");
  const errors: (string | undefined)[] = [];
  forger.listen("_INBOX.forger.1", {}, (message) => errors.push(message.header("Pilot-Error")));
  const code = { digest: "1".repeat(64), runtime: "node", handler: "handler", environment: {}, network: true };
  const head = {
    ...{ call: "000000000call1", account: "main", function: "echo", version: 1, memoryMb: 128, timeoutMs: 1_000, keepAliveMs: 1_000 },
    ...{ containers: 10, waitMs: 1_000, receivedAt: 0, trace: false, class: "rare", owner: "frontend-1", number: 1, attempt: 1 },
    ...{ idempotent: false, code },
  };
  forger.send(SUBJECT.keeper("scheduler-1"), joinHead(head, new Uint8Array(0)), SUBJECT.back("frontend-1", 1, 1, "_INBOX.forger.1"));
  await clock.settle();
  t.deepEqual(errors, ["BadRequest"]);
  t.is(host.orders.length, 0);
});
