/** Keepers that are new, and keepers that are one no more: caps hold through both. */
import test from "ava";
import { rendezvous } from "../../../../actors/kit/rendezvous.ts";
import { LIMITS } from "../../../../protocol/limits.ts";
import { preloadFunction } from "../../../../protocol/messages/fleet.ts";
import { provisionContainer } from "../../../../protocol/messages/host.ts";
import { SUBJECT } from "../../../../protocol/subjects.ts";
import { openCallPath } from "../../../support/call-path.ts";
import { instance, warmInstance } from "../../../support/fleet.ts";
import { MemoryBus } from "../../../support/memory-bus.ts";

const ECHO = "main.echo.1@128";
const loading = [instance({ id: "w1", usedMb: 128, slots: [{ key: ECHO, idle: 0, busy: 1, loading: 0 }], code: ["main.echo.1"] })];

const OTHERS = Array.from({ length: 50 }, (_, nth) => `s${nth}`);

async function open(containers: number) {
  const path = await openCallPath();
  const scheduler = await path.scheduler();
  await path.frontend();
  const host = path.host();
  await path.deploy("echo", { containers, class: "rare" });
  await path.clock.advance(10);
  return { ...path, scheduler, host, caller: path.caller(), startScheduler: path.scheduler, newHost: path.host };
}

test("F051 a keeper that begins anew makes no container near a cap until what was ordered before it has shown itself", async (t) => {
  const { clock, scheduler, host, caller, startScheduler } = await open(1);
  host.announce({ instances: [warmInstance("w1"), warmInstance("w2")] });
  await clock.settle();
  caller.call("pilot.fn.main.echo", "first", { "Pilot-Deadline": "20000" });
  await clock.settle();
  t.is(host.orders.length, 1);
  // The host has not shown what came of the order yet, nor has its keeper a way to tell.
  const [order] = host.orders;
  if (order) host.take(order);
  await clock.settle();
  scheduler.bus.disconnect();
  await startScheduler();
  host.announce({ instances: [warmInstance("w1"), warmInstance("w2")] });
  await clock.advance(10);
  caller.call("pilot.fn.main.echo", "second", { "Pilot-Deadline": "20000" });
  await clock.advance(LIMITS.nodeHeartbeat.value - 50);
  t.is(host.orders.length, 1);
  for (let step = 0; step < 10; step++) {
    host.announce({ instances: [...loading, warmInstance("w2")] });
    await clock.advance(LIMITS.nodeHeartbeat.value);
  }
  t.is(host.orders.length, 1);
});

test("a keeper that begins anew waits near a cap for a host that others count and it has not heard, until that is lost", async (t) => {
  const { clock, scheduler, host, caller, startScheduler, newHost } = await open(1);
  host.announce({ instances: [warmInstance("w1")] });
  newHost("h2").announce();
  await clock.settle();
  scheduler.bus.disconnect();
  await startScheduler();
  caller.call("pilot.fn.main.echo", "x", { "Pilot-Deadline": "20000" });
  for (let step = 0; step < 3; step++) {
    host.announce({ instances: [warmInstance("w1")] });
    await clock.advance(LIMITS.nodeHeartbeat.value);
  }
  t.is(host.orders.length, 0);
  for (let step = 0; step < 2; step++) {
    host.announce({ instances: [warmInstance("w1")] });
    await clock.advance(LIMITS.nodeHeartbeat.value);
  }
  t.is(host.orders.length, 1);
});

test("far from every cap a keeper that begins anew waits for nothing", async (t) => {
  const { clock, scheduler, host, caller, startScheduler } = await open(1_000);
  host.announce({ instances: [warmInstance("w1")] });
  await clock.settle();
  scheduler.bus.disconnect();
  await startScheduler();
  host.announce({ instances: [warmInstance("w1")] });
  await clock.advance(10);
  caller.call("pilot.fn.main.echo");
  await clock.settle();
  t.is(host.orders.length, 1);
});

test("a waiting call goes to the new keeper when its function becomes another's, and is held there once", async (t) => {
  const { clock, scheduler, host, caller, startScheduler } = await open(1);
  host.announce({ memoryMb: 128, usedMb: 128 });
  await clock.settle();
  caller.call("pilot.fn.main.echo", "x", { "Pilot-Deadline": "20000" });
  await clock.settle();
  t.is(scheduler.held()["waiting"], 1);
  const successor = OTHERS.find((id) => rendezvous("main.echo", ["scheduler-1", id]) === id) ?? "";
  const second = await startScheduler(successor);
  await clock.advance(100);
  t.is(scheduler.held()["waiting"], 0);
  t.is(scheduler.held()["bytes"], 0);
  t.is(second.held()["waiting"], 1);
  t.is(caller.replies.length, 0);
});

test("a keeper that drains gives its calls to the others at once", async (t) => {
  const { clock, scheduler, host, caller, startScheduler } = await open(1);
  const other = await startScheduler(OTHERS.find((id) => rendezvous("main.echo", ["scheduler-1", id]) !== id) ?? "");
  host.announce({ memoryMb: 128, usedMb: 128 });
  await clock.settle();
  caller.call("pilot.fn.main.echo", "x", { "Pilot-Deadline": "20000" });
  await clock.settle();
  t.is(scheduler.held()["waiting"], 1);
  void scheduler.drain();
  await clock.advance(100);
  t.is(scheduler.held()["waiting"], 0);
  t.is(other.held()["waiting"], 1);
});

test("a host that was declared lost and comes back in the same life is not believed, but told to end", async (t) => {
  const { clock, broker, host, caller } = await open(1);
  host.announce({ instances: [warmInstance("w1")] });
  await clock.advance(LIMITS.hostSilence.value + 300);
  const told: string[] = [];
  broker.tap(({ subject }) => void (subject.startsWith("_pilot.agent.") && told.push(subject)));
  host.announce({ instances: [warmInstance("w1")] });
  caller.call("pilot.fn.main.echo");
  await clock.settle();
  t.deepEqual(told, ["_pilot.agent.h1.lost"]);
  t.is(host.orders.length, 0);
  host.epoch = "e2";
  host.announce({ instances: [warmInstance("w1")] });
  await clock.settle();
  t.is(host.orders.length, 1);
});

test("a keeper that was asked before it had heard of any host is new all the same", async (t) => {
  const { clock, scheduler, host, caller, startScheduler } = await open(1);
  host.announce({ memoryMb: 128, usedMb: 128 });
  await clock.settle();
  scheduler.bus.disconnect();
  await startScheduler();
  caller.call("pilot.fn.main.echo", "x", { "Pilot-Deadline": "20000" });
  await clock.advance(20);
  host.announce({ instances: [warmInstance("w1")] });
  await clock.advance(LIMITS.nodeHeartbeat.value - 50);
  t.is(host.orders.length, 0);
  host.announce({ instances: [warmInstance("w1")] });
  await clock.advance(LIMITS.nodeHeartbeat.value);
  host.announce({ instances: [warmInstance("w1")] });
  await clock.advance(LIMITS.nodeHeartbeat.value);
  t.is(host.orders.length, 1);
});

test("F024 whichever scheduler is asked to ready containers, the function's keeper orders them", async (t) => {
  const { clock, broker, host, startScheduler } = await open(8);
  const second = OTHERS.find((id) => rendezvous("main.echo", ["scheduler-1", id]) === id) ?? "";
  await startScheduler(second);
  host.announce({ instances: [instance({ spares: 20, memoryMb: 8_192 })] });
  const operator = new MemoryBus(broker, "operator");
  const agent = new MemoryBus(broker, "h1-agent");
  agent.serve(provisionContainer, ["h1"], async () => ({ container: "c1" }));
  const by = { asked: new Set<string>(), ordering: new Set<string>() };
  broker.tap(({ from, subject }) => {
    if (subject === SUBJECT.node(second, "preload")) by.asked.add(from);
    if (subject === SUBJECT.agent("h1", "provision")) by.ordering.add(from);
  });
  for (let nth = 0; nth < 12; nth++) {
    const ready = operator.ask(preloadFunction, [], { account: "main", name: "echo", count: 1 });
    await clock.advance(10);
    t.is((await ready).ready, 1);
  }
  t.deepEqual([...by.ordering], [second]);
  t.deepEqual([...by.asked], ["scheduler-1"]);
});
