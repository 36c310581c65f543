import test from "ava";
import fc from "fast-check";
import { afterEnd, type RestartHistory, type RestartPolicy } from "../../../actors/kit/restart.ts";

const policies: fc.Arbitrary<RestartPolicy> = fc.record({
  most: fc.integer({ min: 0, max: 8 }),
  windowMs: fc.integer({ min: 1, max: 60_000 }),
  delayMinMs: fc.integer({ min: 1, max: 500 }),
  delayMaxMs: fc.integer({ min: 500, max: 5_000 }),
});
const gaps = fc.array(fc.integer({ min: 0, max: 20_000 }), { maxLength: 60 });

/** Times of the ends that were answered with a restart, with the waits. */
function play(policy: RestartPolicy, between: readonly number[]): { at: number; delayMs: number }[] {
  const restarts: { at: number; delayMs: number }[] = [];
  let history: RestartHistory = [];
  let now = 0;
  for (const gap of between) {
    now += gap;
    const verdict = afterEnd(policy, history, now);
    if (verdict.kind === "give-up") break;
    history = verdict.history;
    restarts.push({ at: now, delayMs: verdict.delayMs });
  }
  return restarts;
}

test("no window ever holds more restarts than the policy allows", (t) => {
  fc.assert(
    fc.property(policies, gaps, (policy, between) => {
      const restarts = play(policy, between);
      return restarts.every(({ at }) => restarts.filter((one) => one.at <= at && at - one.at < policy.windowMs).length <= policy.most);
    }),
  );
  t.pass();
});

test("it gives up only when the window is full", (t) => {
  fc.assert(
    fc.property(policies, gaps, (policy, between) => {
      const restarts = play(policy, between);
      if (restarts.length === between.length) return true;
      const now = between.slice(0, restarts.length + 1).reduce((sum, gap) => sum + gap, 0);
      return restarts.filter(({ at }) => now - at < policy.windowMs).length === policy.most;
    }),
  );
  t.pass();
});

test("the wait stays between its bounds and grows within a window", (t) => {
  fc.assert(
    fc.property(policies, gaps, (policy, between) =>
      play(policy, between).every(({ delayMs }) => delayMs >= policy.delayMinMs && delayMs <= policy.delayMaxMs),
    ),
  );
  const policy = { most: 5, windowMs: 1_000, delayMinMs: 100, delayMaxMs: 1_000 };
  t.deepEqual(
    play(policy, [0, 1, 1, 1, 1]).map(({ delayMs }) => delayMs),
    [100, 200, 400, 800, 1_000],
  );
  t.deepEqual(
    play(policy, [0, 2_000]).map(({ delayMs }) => delayMs),
    [100, 100],
  );
});

test("the history never grows beyond the policy's count", (t) => {
  fc.assert(
    fc.property(policies, gaps, (policy, between) => {
      let history: RestartHistory = [];
      let now = 0;
      for (const gap of between) {
        now += gap;
        const verdict = afterEnd(policy, history, now);
        if (verdict.kind === "restart") history = verdict.history;
        if (history.length > policy.most) return false;
      }
      return true;
    }),
  );
  t.pass();
});
