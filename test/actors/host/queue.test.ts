/** Calls that wait inside a host behind runs that take much longer than they used to. */
import test from "ava";
import { LIMITS } from "../../../protocol/limits.ts";
import { hostLost } from "../../../protocol/messages/host.ts";
import { SUBJECT } from "../../../protocol/subjects.ts";
import { type Rig, rig } from "./rig.ts";

/** A host on which `sleep` has a short history, one container, and a run of ten seconds in it. */
async function stuck(r: Rig, containers: number) {
  r.call("sleep", "warm", "1", { containers });
  await r.clock.advance(200);
  const running = r.call("sleep", "hot", "10000", { containers, timeoutMs: 60_000 });
  await r.clock.settle();
  return running;
}

test("the first in line that has waited longer than a container takes gets one, though runs used to be short", async (t) => {
  const r = await rig(t);
  await stuck(r, 1_000);
  const waiting = r.call("sleep", "hot", "1", { containers: 1_000, waitMs: 30_000 });
  await r.clock.advance(3 * LIMITS.hostTick.value);
  t.is(waiting.reply.body, "slept");
  t.is(r.counter("queue.overdue"), 1);
});

test("a host that slept until others declared it lost answers nothing, runs nothing that waited, and says once that it must end", async (t) => {
  const r = await rig(t);
  const running = await stuck(r, 1);
  const waiting = r.call("sleep", "hot", "1", { containers: 1, waitMs: 60_000 });
  await r.clock.settle();
  const before = r.sandbox.containers.reduce((sum, container) => sum + container.calls, 0);
  const told = r.reports.length;
  await r.clock.stall(LIMITS.hostSilence.value + 10_000);
  await r.clock.advance(20_000);
  t.is(running.replies.length, 0);
  // Its owner would forget it, and has perhaps not answered yet.
  t.deepEqual(
    r.reports.slice(told).flatMap(({ done, placedDone }) => [...done, ...placedDone]),
    [],
  );
  t.is(waiting.replies.length, 0);
  t.is(
    r.sandbox.containers.reduce((sum, container) => sum + container.calls, 0),
    before,
  );
  t.is(r.counter("clock.lost"), 1);
});

test("a host that slept until others declared it lost ends the direct calls of which nobody else knows: what waited, what ran, and what piled up", async (t) => {
  const r = await rig(t);
  await stuck(r, 1);
  await r.grant("sleep", { containers: 1, lifeMs: 60_000 });
  const told = r.direct("sleep", "1");
  await r.clock.advance(LIMITS.lostDirectCall.value + 2 * LIMITS.deadlineSweep.value + LIMITS.announceEvery.value);
  const waiting = r.direct("sleep", "2");
  await r.grant("echo", { containers: 1, lifeMs: 60_000 });
  r.call("echo", "warm", "x", { containers: 1 });
  await r.clock.settle();
  await r.clock.stall(LIMITS.hostSilence.value + 10_000);
  const piled = r.direct("echo", "old");
  const ordered = r.call("echo", "hot", "old");
  await r.clock.advance(1_000);
  const late = r.direct("echo", "new");
  await r.clock.advance(20_000);
  for (const one of [waiting, piled, late]) t.is(one.reply.error, "Unavailable");
  t.is(ordered.refused, "queue-full");
  t.is(told.replies.length, 0);
});

test("a host that was declared lost tells nobody any more what it took or ended: its calls may run elsewhere by then, under the same numbers", async (t) => {
  const r = await rig(t);
  await stuck(r, 1);
  r.call("sleep", "hot", "1", { containers: 1, waitMs: 60_000 });
  await r.clock.advance(100);
  const before = r.reports.length;
  await r.clock.stall(LIMITS.hostSilence.value + 10_000);
  await r.clock.advance(100);
  await r.settled(r.host.close());
  t.is(r.counter("clock.lost"), 1);
  t.deepEqual(r.reports.slice(before), []);
});

test("a direct call that its keeper was about to be told of when its host fell asleep until it was lost is ended by the host", async (t) => {
  const r = await rig(t);
  await stuck(r, 1);
  await r.grant("sleep", { containers: 1, lifeMs: 60_000 });
  const sent = r.direct("sleep", "1");
  // It has grown old, and its report waits for the next batch.
  await r.clock.advance(LIMITS.lostDirectCall.value + 1.5 * LIMITS.deadlineSweep.value);
  t.false(r.reports.some(({ long }) => long !== undefined));
  await r.clock.stall(LIMITS.hostSilence.value + 10_000);
  await r.clock.advance(20_000);
  t.false(r.reports.some(({ long }) => long !== undefined));
  t.is(sent.reply.error, "Unavailable");
});

test("a direct call that ran while its host slept until it was lost hears one answer, its result where that is read first", async (t) => {
  // Timers that are overdue fire in their order: the end of a short run before the host looks at its clock.
  for (const [ms, error] of [
    ["1", undefined],
    ["10000", "InstanceLost"],
  ] as const) {
    const r = await rig(t);
    r.call("sleep", "warm", "1", { containers: 1 });
    await r.clock.advance(200);
    await r.grant("sleep", { containers: 1, lifeMs: 60_000, timeoutMs: 60_000 });
    const running = r.direct("sleep", ms);
    await r.clock.settle();
    await r.clock.stall(LIMITS.hostSilence.value + 10_000);
    await r.clock.advance(20_000);
    t.is(running.reply.error, error);
  }
});

test("a function at its cap gets no other container, however long its calls wait", async (t) => {
  const r = await rig(t);
  await stuck(r, 1);
  const waiting = r.call("sleep", "hot", "1", { containers: 1, waitMs: 30_000 });
  await r.clock.advance(4_000);
  t.is(waiting.replies.length, 0);
  t.is(r.counter("queue.overdue"), 0);
});

test("a direct call that waits inside the host is reported to its keeper at the same age as one that runs", async (t) => {
  const r = await rig(t);
  await stuck(r, 1);
  await r.grant("sleep", { containers: 1, lifeMs: 60_000 });
  r.direct("sleep", "1");
  await r.clock.advance(LIMITS.lostDirectCall.value + 2 * LIMITS.deadlineSweep.value + LIMITS.announceEvery.value);
  const told = r.reports.filter(({ to, long }) => to === "k1" && long !== undefined);
  t.is(told.length, 1);
  await r.clock.advance(1_000);
  t.is(r.reports.filter(({ long }) => long !== undefined).length, 1);
});

test("a host that hears that others have declared its life lost ends; what is said of another life is of no concern", async (t) => {
  const r = await rig(t);
  const running = await stuck(r, 1);
  const { epoch } = await r.announced();
  r.outside.tell(hostLost, ["h1"], { epoch: "another" });
  await r.clock.advance(100);
  t.is(r.counter("clock.lost"), 0);
  r.outside.tell(hostLost, ["h1"], { epoch });
  r.outside.tell(hostLost, ["h1"], { epoch });
  await r.clock.advance(20_000);
  t.is(r.counter("clock.lost"), 1);
  t.is(running.replies.length, 0);
});

test("the end of a call is not told before its caller has been answered, so that its owner speaks for it if the host dies in between", async (t) => {
  const r = await rig(t);
  const call = r.call("sleep", "warm", "300");
  await r.clock.advance(100);
  r.bus.disconnect();
  r.control.disconnect();
  await r.clock.advance(500);
  r.control.reconnect();
  r.bus.reconnect();
  await r.clock.advance(200);
  const isDone = () => r.reports.some(({ done, placedDone }) => done.length + placedDone.length > 0);
  t.is(call.replies.length, 0);
  t.false(isDone());
  await r.clock.advance(1_000);
  t.is(call.reply.body, "slept");
  t.true(isDone());
});

test("a direct call that was handed on and came back to run here is told to the keeper that follows when the one that placed it is lost", async (t) => {
  const r = await rig(t);
  r.call("sleep", "warm", "150");
  await r.clock.advance(400);
  await r.grant("sleep", { lifeMs: 60_000, timeoutMs: 60_000 });
  const end = r.withPlacing();
  r.direct("sleep", "150");
  const sent = r.direct("sleep", "10000");
  await r.clock.settle();
  const [kept] = r.toKeeper;
  if (kept === undefined) return t.fail("it was not handed on");
  r.order({ ...kept.head, place: { rung: "own", by: "keeper", reason: "a test" } }, kept.body, SUBJECT.back("k1", 77, 1, sent.inbox));
  await r.clock.advance(1_000);
  t.deepEqual(
    r.reports.filter(({ long }) => long !== undefined),
    [],
  );
  end();
  r.withScheduler("another life");
  await r.clock.advance(2 * LIMITS.announceEvery.value);
  t.deepEqual(
    new Set(r.reports.flatMap(({ to, long }) => (to === "k1" ? (long ?? []) : [])).map(({ reply }) => reply)),
    new Set([sent.inbox]),
  );
});

test("direct calls that run on are told to their keeper again, since a report may be lost", async (t) => {
  const r = await rig(t);
  r.call("sleep", "warm", "1");
  await r.clock.advance(200);
  await r.grant("sleep", { timeoutMs: 60_000, lifeMs: 60_000 });
  r.direct("sleep", "50000");
  await r.clock.advance(LIMITS.lostDirectCall.value + LIMITS.longCallsEvery.value + 2 * LIMITS.hostTick.value);
  const told = r.reports.flatMap(({ long }) => long ?? []);
  t.is(told.length, 2);
  t.deepEqual(told[0], told[1]);
});
