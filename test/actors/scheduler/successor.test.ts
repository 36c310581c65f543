/** Nodes that start again under their old names, and calls that were on their way meanwhile. */
import test from "ava";
import { LIMITS } from "../../../protocol/limits.ts";
import { openCallPath } from "../../support/call-path.ts";
import { instance, warmInstance } from "../../support/fleet.ts";

const ECHO = "main.echo.1@128";

async function open() {
  const path = await openCallPath();
  const scheduler = await path.scheduler();
  const frontend = await path.frontend();
  const host = path.host();
  await path.deploy();
  await path.clock.advance(10);
  return { ...path, startScheduler: path.scheduler, startFrontend: path.frontend, scheduler, frontend, host, caller: path.caller() };
}

test("nodes of one name number their calls differently in each life, so that reports of an old life mean no call of the new one", async (t) => {
  const { clock, host, caller, frontend, startFrontend } = await open();
  host.announce({ instances: [warmInstance("w1")] });
  await clock.settle();
  caller.call("pilot.fn.main.echo", "old");
  await clock.settle();
  frontend.bus.disconnect();
  await startFrontend();
  await clock.settle();
  host.announce({ instances: [instance({ id: "w1", spares: 4 })] });
  const [old] = host.orders;
  if (old) host.take(old);
  caller.call("pilot.fn.main.echo", "new", { "Pilot-Deadline": "20000" });
  await clock.advance(100);
  const fresh = host.orders.find((order) => order.body === "new");
  t.truthy(fresh);
  t.not(fresh?.head.number, old?.head.number);
  t.not(fresh?.message.reply.split(".")[3], old?.message.reply.split(".")[3]);
  // The end of the old call is news of the old call only: when the host dies, the new one still has somebody to speak for it.
  if (old) host.finish(old);
  if (fresh) host.take(fresh);
  await clock.settle();
  host.epoch = "e2";
  host.announce();
  await clock.advance(200);
  t.is(caller.replies.at(-1)?.error, "InstanceLost");
  t.is(caller.replies.length, 2);
});

test("a call that reached a keeper's successor before its first announcement is held there once, though it is sent again", async (t) => {
  const { clock, host, caller, scheduler, startScheduler } = await open();
  host.announce({ memoryMb: 4_096, draining: true });
  await clock.settle();
  scheduler.bus.disconnect();
  const successor = await startScheduler("scheduler-1");
  for (let nth = 0; nth < 5; nth++) caller.call("pilot.fn.main.echo", `${nth}`, { "Pilot-Deadline": "20000" });
  await clock.advance(1_000);
  const instances = [instance({ spares: 8, memoryMb: 4_096 })];
  for (let step = 0; step < 8; step++) {
    host.announce({ memoryMb: 4_096, instances });
    await clock.advance(250);
  }
  t.deepEqual(host.orders.map((order) => order.body).sort(), ["0", "1", "2", "3", "4"]);
  t.is(successor.counters()["failed.Throttled"], undefined);
});

test("a keeper speaks for a running call whose frontend died and came back, when its host dies too", async (t) => {
  const { clock, host, caller, frontend, startFrontend } = await open();
  host.announce({ instances: [warmInstance("w1")] });
  await clock.settle();
  caller.call("pilot.fn.main.echo");
  await clock.settle();
  const [order] = host.orders;
  if (order) host.take(order);
  await clock.settle();
  frontend.bus.disconnect();
  await startFrontend();
  await clock.advance(600);
  host.epoch = "e2";
  host.announce();
  await clock.advance(200);
  t.deepEqual(
    caller.replies.map((reply) => reply.error),
    ["InstanceLost"],
  );
});

test("a call waits no longer for a busy container than a new one takes, however short runs are on average", async (t) => {
  const { clock, host, caller, deploy } = await open();
  // Below a cap of its own, since otherwise a frontend sends such calls behind the busy container by itself, and the host sees to them.
  await deploy("echo", { containers: 8 });
  const functions = [{ account: "main", function: "echo", calls: 1, meanRunMs: 1, queued: 0 }];
  const busy = instance({ id: "i1", usedMb: 128, spares: 1, slots: [{ key: ECHO, idle: 0, busy: 1, loading: 0 }], code: ["main.echo.1"] });
  host.announce({ instances: [busy], functions });
  await clock.settle();
  caller.call("pilot.fn.main.echo", "stuck", { "Pilot-Deadline": "20000" });
  await clock.settle();
  t.is(host.orders.length, 0);
  await clock.advance(500);
  host.announce({ instances: [busy], functions });
  await clock.settle();
  t.deepEqual(
    host.orders.map((order) => order.head.place?.rung),
    ["cached"],
  );
});

test("a keeper that took a call before it heard of its frontend speaks for it when frontend and host die one after the other", async (t) => {
  const { clock, host, caller, scheduler, startScheduler, frontend, startFrontend } = await open();
  host.announce({ memoryMb: 4_096, draining: true });
  await clock.settle();
  caller.call("pilot.fn.main.echo", "waits", { "Pilot-Deadline": "20000" });
  await clock.settle();
  scheduler.bus.disconnect();
  await startScheduler("scheduler-1");
  await clock.advance(1_000);
  host.announce({ instances: [warmInstance("w1")] });
  await clock.settle();
  const [order] = host.orders;
  if (order) host.take(order);
  await clock.settle();
  frontend.bus.disconnect();
  await startFrontend();
  await clock.advance(600);
  host.epoch = "e2";
  host.announce();
  await clock.advance(200);
  t.deepEqual(
    caller.replies.map((reply) => reply.error),
    ["InstanceLost"],
  );
});

test("two schedulers that were given one name by mistake do not flood the broker", async (t) => {
  const { clock, broker, startScheduler } = await open();
  let announced = 0;
  broker.tap(({ subject }) => void (subject === "_pilot.announce.scheduler.scheduler-1" && announced++));
  await startScheduler("scheduler-1");
  await clock.advance(1_000);
  t.true(announced <= 4 * (1_000 / LIMITS.nodeHeartbeat.value), `${announced} announcements in a second`);
});
