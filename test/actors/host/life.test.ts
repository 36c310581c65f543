import { createHash } from "node:crypto";
import test from "ava";
import { LIMITS } from "../../../protocol/limits.ts";
import { describeHost } from "../../../protocol/messages/fleet.ts";
import { cancelOnHost, cordonHost, drainHost, findCall, provisionContainer } from "../../../protocol/messages/host.ts";
import { syncNode } from "../../../protocol/messages/sync.ts";
import { rig } from "./rig.ts";

test("F040 F018 an idle container is destroyed after its keep-alive, and with it the whole instance and its allocation", async (t) => {
  const r = await rig(t);
  const sent = r.call("echo", "warm", "x", { keepAliveMs: 2_000 });
  await r.clock.advance(1_900);
  t.is(r.active.length, 1);
  await r.clock.advance(500);
  t.is(r.active.length, 0);
  t.deepEqual(r.sandbox.removed, [sent.reply.header("Pilot-Instance")]);
  t.true(r.sandbox.containers.every((container) => container.instance !== sent.reply.header("Pilot-Instance")));
  t.true((await r.announced()).instances.every(({ account }) => account === null));
});

test("F040 an instance stays as long as one of its containers does", async (t) => {
  const r = await rig(t);
  r.call("echo", "warm", "x", { keepAliveMs: 500 });
  await r.clock.advance(50);
  r.call("sleep", "own", "1", { keepAliveMs: 5_000 }, r.active[0]?.id);
  await r.clock.advance(1_500);
  t.is(r.active.length, 1);
  t.deepEqual(r.active[0]?.containers.map(({ function: name, state }) => name ?? state).sort(), ["sleep", "spare"]);
});

test("F018 an instance that served an account never becomes warm again", async (t) => {
  const r = await rig(t, { pools: [{ runtime: "node", memoryMb: 1_024, warm: 1 }] });
  const seen = new Map<string, Set<string | null>>();
  for (let round = 0; round < 5; round++) {
    r.call("echo", "warm", "x", { account: `a${round}`, keepAliveMs: 100 });
    for (let step = 0; step < 10; step++) {
      await r.clock.advance(100);
      for (const { id, account, state } of r.instances) {
        const owners = seen.get(id) ?? new Set();
        if (state === "warm") t.false([...owners].some((owner) => owner !== null));
        owners.add(account);
        seen.set(id, owners);
      }
    }
  }
  for (const owners of seen.values()) t.true([...owners].filter((owner) => owner !== null).length <= 1);
});

test("what runs for a function that was removed ends its container, and the account's hold on the instance, as soon as it is over", async (t) => {
  const r = await rig(t);
  const first = r.call("sleep", "warm", "100");
  await r.clock.advance(50);
  const behind = r.call("sleep", "hot", "10", { place: { rung: "hot", by: "keeper", queue: true } });
  await r.settled(r.outside.ask(syncNode, ["h1"], { function: { key: "main.sleep", revision: 9, record: null } }));
  t.is(r.active.length, 1);
  await r.clock.advance(150);
  t.deepEqual([first.reply.body, behind.reply.body], ["slept", "slept"]);
  t.is(r.active.length, 0);
  t.deepEqual(r.sandbox.removed, [first.reply.header("Pilot-Instance")]);
});

test("a function that is deployed again while calls of the removed one run gets containers of its own, which serve as long as any", async (t) => {
  const r = await rig(t, { pools: [{ runtime: "node", memoryMb: 1_024, warm: 3 }] });
  r.call("echo", "warm", "x");
  const old = r.call("sleep", "warm", "500");
  await r.clock.advance(50);
  await r.settled(r.outside.ask(syncNode, ["h1"], { function: { key: "main.sleep", revision: 9, record: null } }));
  // Its numbers begin anew: version 1 is other code now.
  r.versions.set("main.sleep.1", { digest: createHash("sha256").update("echo").digest("hex") });
  const behind = r.call("sleep", "hot", "1", { place: { rung: "hot", by: "keeper", queue: true } });
  const first = r.call("sleep", "warm", "new");
  await r.clock.advance(200);
  t.is(behind.refused, "no-container");
  t.is(first.reply.body, "new");
  await r.clock.advance(1_000);
  t.is(old.reply.body, "slept");
  const second = r.call("sleep", "hot", "again");
  await r.clock.advance(50);
  t.deepEqual([second.reply.body, second.reply.header("Pilot-Rung")], ["again", "hot"]);
  t.is(second.reply.header("Pilot-Container"), first.reply.header("Pilot-Container"));
});

test("F021 other pool targets are in force when sync answers: surplus is gone, what is missing boots", async (t) => {
  const r = await rig(t, { pools: [{ runtime: "node", memoryMb: 1_024, warm: 3 }] });
  t.is(r.instances.length, 3);
  await r.settled(
    r.outside.ask(syncNode, ["h1"], {
      pools: [
        { runtime: "node", memoryMb: 1_024, warm: 1 },
        { runtime: "python", memoryMb: 512, warm: 1 },
      ],
    }),
  );
  t.is(r.instances.filter(({ runtime, state }) => runtime === "node" && state === "warm").length, 1);
  await r.clock.advance(100);
  t.deepEqual(r.instances.map(({ runtime, memoryMb, state }) => `${runtime} ${memoryMb} ${state}`).sort(), [
    "node 1024 warm",
    "python 512 warm",
  ]);
});

test("an active instance keeps a spare while another container fits, and none when it is full", async (t) => {
  const r = await rig(t, { sparesPerInstance: 2 });
  r.call("echo", "warm", "x");
  await r.clock.advance(200);
  t.is(r.active[0]?.containers.filter(({ state }) => state === "spare").length, 2);
  r.call("echo", "warm", "x", { account: "other", memoryMb: 1_000 });
  await r.clock.advance(200);
  t.is(r.active.find(({ account }) => account === "other")?.containers.length, 1);
  t.false(r.sandbox.orders.some(({ urgent }) => urgent));
});

test("the host's memory bounds its warm pool", async (t) => {
  const r = await rig(t, { memoryMb: 100, pools: [{ runtime: "node", memoryMb: 1_024, warm: 10 }] });
  await r.clock.advance(1_000);
  t.is(r.instances.length, 3);
  t.true(r.host.describe().usedMb <= 100);
});

test("a warm instance whose boot fails again and again is tried with growing pauses", async (t) => {
  const r = await rig(t, {}, {}, { failBoot: () => "no" });
  await r.clock.advance(20_000);
  const boots = r.sandbox.orders.length;
  t.true(boots >= 5 && boots < 15, `${boots} boots`);
  r.sandbox.failBoot = () => undefined;
  await r.clock.advance(LIMITS.bootRetryMax.value + 100);
  t.is(r.instances[0]?.state, "warm");
});

test("F024 provision readies a container before any call, whose first call is hot", async (t) => {
  const r = await rig(t);
  const wanted = { account: "main", function: "echo", version: 1, memoryMb: 128, keepAliveMs: 60_000, rung: "warm" as const };
  const { container } = await r.settled(r.outside.ask(provisionContainer, ["h1"], wanted));
  const sent = r.call("echo", "hot", "x");
  await r.clock.settle();
  t.is(sent.reply.header("Pilot-Container"), container);
  t.is(sent.reply.header("Pilot-Rung"), "hot");
});

test("provision of code that cannot be loaded rejects with the reason, and one without a place is refused", async (t) => {
  const r = await rig(t, { pools: [{ runtime: "node", memoryMb: 1_024, warm: 1 }] });
  const wanted = { account: "main", function: "nothing", version: 1, memoryMb: 128, keepAliveMs: 60_000, rung: "warm" as const };
  await t.throwsAsync(r.settled(r.outside.ask(provisionContainer, ["h1"], wanted)), { name: "HandlerError" });
  await t.throwsAsync(r.settled(r.outside.ask(provisionContainer, ["h1"], { ...wanted, rung: "own", instance: "none" })), {
    name: "Unavailable",
  });
});

test("cancel ends a call that runs and one that waits, and each caller hears Cancelled", async (t) => {
  const r = await rig(t);
  const runs = r.call("hang", "warm");
  await r.clock.settle();
  const waits = r.call("hang", "hot");
  await r.clock.settle();
  for (const sent of [waits, runs]) {
    t.deepEqual(await r.settled(r.outside.ask(cancelOnHost, ["h1"], { call: sent.id })), { cancelled: true });
    t.is(sent.reply.error, "Cancelled");
  }
  t.deepEqual(await r.settled(r.outside.ask(cancelOnHost, ["h1"], { call: runs.id })), { cancelled: false });
  await r.clock.advance(200);
  t.is(r.active.length, 0);
});

test("a caller's reply subject names its call for cancel as well as the id does", async (t) => {
  const r = await rig(t);
  const runs = r.call("hang", "warm");
  await r.clock.settle();
  const waits = r.call("hang", "hot");
  await r.clock.settle();
  for (const sent of [waits, runs]) {
    t.deepEqual(await r.settled(r.outside.ask(cancelOnHost, ["h1"], { reply: sent.inbox })), { cancelled: true });
    t.is(sent.reply.error, "Cancelled");
  }
  t.deepEqual(await r.settled(r.outside.ask(cancelOnHost, ["h1"], { reply: runs.inbox })), { cancelled: false });
});

test("F028 a finished call is found by its id, with both ends of its clock", async (t) => {
  const r = await rig(t);
  const sent = r.call("sleep", "warm", "30");
  await r.clock.advance(100);
  const { record } = (await r.settled(r.outside.ask(findCall, ["h1"], { call: sent.id }))) as {
    record: { startedAt: number; endedAt: number };
  };
  t.is(record.endedAt - record.startedAt, 30);
  t.deepEqual(await r.settled(r.outside.ask(findCall, ["h1"], { call: "nothing" })), {});
});

test("describe passes its own contract with calls in every state", async (t) => {
  const r = await rig(t);
  r.call("hang", "warm");
  await r.clock.advance(100);
  await r.grant("echo");
  const told = await r.settled(r.outside.ask(describeHost, ["h1"], {}));
  t.is(told.id, "h1");
  t.is(told.isolation.kind, "fake");
});

test("drain takes nothing new, lets running calls end, says so, and leaves nothing", async (t) => {
  const r = await rig(t);
  const runs = r.call("sleep", "warm", "900");
  await r.clock.settle();
  await r.grant("echo");
  const drained = r.host.drain();
  await r.clock.settle();
  t.true(r.announcements.at(-1)?.draining);
  const late = r.call("echo", "warm");
  t.deepEqual(await r.grant("echo", { epoch: 9 }), ["main.echo"]);
  await r.clock.settle();
  t.is(late.refused, "draining");
  await r.clock.advance(2_000);
  await drained;
  t.is(runs.reply.body, "slept");
  t.is(r.sandbox.containers.length, 0);
  t.is(r.instances.length, 0);
  t.is(r.broker.interest("_pilot.host.h1"), 0);
});

test("drain waits no longer than its limit; what then still runs is answered InstanceLost", async (t) => {
  const r = await rig(t);
  const runs = r.call("hang", "warm", "", { timeoutMs: 60_000 });
  await r.clock.settle();
  const drained = r.host.drain();
  await r.clock.advance(LIMITS.drain.value + 100);
  await drained;
  t.is(runs.reply.error, "InstanceLost");
  t.is(r.sandbox.containers.length, 0);
});

test("a cordoned host leaves the desk and refuses what comes, keeps what runs and what is warm, and is taken back", async (t) => {
  const r = await rig(t);
  const runs = r.call("sleep", "warm", "900");
  await r.clock.settle();
  await r.grant("echo");
  await r.settled(r.outside.ask(cordonHost, ["h1"], { cordoned: true }));
  const told = r.announcements.at(-1);
  t.true(told?.draining);
  t.true(told?.cordoned);
  const before = r.instances.length;
  const late = r.call("echo", "warm");
  t.deepEqual(await r.grant("echo", { epoch: 9 }), ["main.echo"]);
  await r.clock.advance(2_000);
  t.is(late.refused, "draining");
  t.is(runs.reply.body, "slept");
  t.is(r.instances.length, before);
  const described = await r.settled(r.outside.ask(describeHost, ["h1"], {}));
  t.true(described.cordoned);
  t.deepEqual(described.grants, []);

  await r.settled(r.outside.ask(cordonHost, ["h1"], { cordoned: false }));
  t.false(r.announcements.at(-1)?.draining);
  t.is(r.announcements.at(-1)?.cordoned, undefined);
  const again = r.call("echo", "warm", "x");
  await r.clock.advance(100);
  t.is(again.reply.body, "x");
  t.deepEqual(r.cordons, [true, false]);
});

test("a host that was cordoned when it stopped starts so", async (t) => {
  const r = await rig(t, { cordoned: true });
  t.true((await r.announced()).cordoned);
  const late = r.call("echo", "warm");
  await r.clock.settle();
  t.is(late.refused, "draining");
});

test("a drain from afar tells how many calls are left, waits as long as it says, and dismisses the host", async (t) => {
  const r = await rig(t);
  const runs = r.call("sleep", "warm", "12000", { timeoutMs: 60_000 });
  await r.clock.settle();
  let dismissed = false;
  void r.host.dismissed.then(() => (dismissed = true));
  t.deepEqual(await r.settled(r.outside.ask(drainHost, ["h1"], { waitMs: 15_000 })), { left: 1 });
  t.true(dismissed);
  await t.throwsAsync(r.settled(r.outside.ask(cordonHost, ["h1"], { cordoned: true })), { message: /stopping/ });
  await r.clock.advance(LIMITS.drain.value + 500);
  t.deepEqual(await r.settled(r.outside.ask(drainHost, ["h1"], { waitMs: 0 })), { left: 1 });
  await r.clock.advance(2_000);
  await r.host.drain();
  t.is(runs.reply.body, "slept");
  t.is(r.instances.length, 0);
});

test("a host that has stopped leaves no timer behind", async (t) => {
  const r = await rig(t);
  r.call("echo", "warm", "x");
  await r.clock.advance(100);
  await r.settled(r.host.close());
  await r.clock.advance(20_000);
  t.is(r.clock.pending, 0);
});

test("announcements are numbered, full every heartbeat, partial within 20 ms of a change, and count calls cumulatively", async (t) => {
  const r = await rig(t);
  r.announcements.length = 0;
  r.call("echo", "warm", "x");
  await r.clock.advance(LIMITS.announceEvery.value + 1);
  t.true(r.announcements.some(({ full, instances }) => !full && instances.some(({ account }) => account === "main")));
  r.call("echo", "hot", "x");
  const full = await r.announced();
  t.is(full.functions.find(({ function: name }) => name === "echo")?.calls, 2);
  t.is(full.instances.length, 2);
  t.deepEqual(full.instances.find(({ account }) => account === "main")?.slots, [{ key: "main.echo.1@128", idle: 1, busy: 0, loading: 0 }]);
  const numbers = r.announcements.map(({ seq }) => seq);
  t.deepEqual(
    numbers,
    numbers.map((_, index) => (numbers[0] ?? 0) + index),
  );
});

test("what a rung takes is measured from a spare; a container that had to be booted counts as cold", async (t) => {
  const r = await rig(t, { sparesPerInstance: 0 });
  const before = (await r.announced()).createMs;
  r.call("echo", "warm", "x");
  await r.clock.advance(50);
  r.call("sleep", "own", "1", {}, r.active[0]?.id);
  await r.clock.advance(100);
  const { createMs } = await r.announced();
  t.true(createMs.warm < before.warm);
  t.is(createMs.own, before.own);
  t.true(createMs.cold < before.cold && createMs.cold > 30);
});
