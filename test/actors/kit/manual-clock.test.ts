import test from "ava";
import { createActor, createMachine } from "xstate";
import { ManualClock } from "../../support/manual-clock.ts";

test("timers fire in order of their time, those of one instant in the order they were set", async (t) => {
  const clock = new ManualClock();
  const fired: string[] = [];
  const on = (name: string) => () => fired.push(`${name}@${clock.now()}`);
  clock.after(20, on("late"));
  clock.after(10, on("first"));
  clock.after(10, on("second"));
  clock.after(10, () => clock.after(5, on("nested")));
  await clock.advance(30);
  t.deepEqual(fired, ["first@10", "second@10", "nested@15", "late@20"]);
  t.is(clock.now(), 30);
  t.is(clock.epoch(), 1_700_000_000_030);
  t.is(clock.pending, 0);
});

test("a repeating timer fires until it is cancelled, also from its own action", async (t) => {
  const clock = new ManualClock();
  const at: number[] = [];
  const timer = clock.every(10, () => {
    at.push(clock.now());
    if (at.length === 3) timer.cancel();
  });
  await clock.advance(100);
  t.deepEqual(at, [10, 20, 30]);
  t.throws(() => clock.every(0, () => undefined));
});

test("promises and soon actions run before the next timer", async (t) => {
  const clock = new ManualClock();
  const order: string[] = [];
  clock.after(1, () => {
    void Promise.resolve().then(() => {
      order.push("promise");
      clock.soon(() => order.push("soon"));
    });
  });
  clock.after(2, () => order.push("second timer"));
  await clock.advance(2);
  t.deepEqual(order, ["promise", "soon", "second timer"]);
});

test("soon waits for the settling", async (t) => {
  const clock = new ManualClock();
  let ran = 0;
  clock.soon(() => {
    ran++;
    clock.soon(() => ran++);
  });
  await Promise.resolve();
  t.is(ran, 0);
  await clock.settle();
  t.is(ran, 2);
});

test("a stalled process fires everything late and a repeating timer once", async (t) => {
  const clock = new ManualClock();
  const at: number[] = [];
  clock.every(10, () => at.push(clock.now()));
  clock.after(5, () => at.push(clock.now()));
  await clock.stall(100);
  t.deepEqual(at, [100, 100]);
  await clock.advance(10);
  t.deepEqual(at, [100, 100, 110]);
});

test("an xstate machine runs on it", async (t) => {
  const clock = new ManualClock();
  const machine = createMachine({ initial: "waiting", states: { waiting: { after: { 50: "done" } }, done: {} } });
  const actor = createActor(machine, { clock }).start();
  await clock.advance(49);
  t.is(actor.getSnapshot().value, "waiting");
  await clock.advance(1);
  t.is(actor.getSnapshot().value, "done");
});
