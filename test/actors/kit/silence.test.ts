import test from "ava";
import fc from "fast-check";
import { beginSilence, heard, tick } from "../../../actors/kit/silence.ts";

const PACE = 250;

test("silence counts up while the judge is awake", (t) => {
  let silence = beginSilence(0);
  for (let now = PACE; now <= 8 * PACE; now += PACE) silence = tick(silence, now, PACE);
  t.is(silence.silentMs, 2_000);
  t.is(heard(silence).silentMs, 0);
});

test("time in which the judge itself slept is not held against the other", (t) => {
  const silence = tick(beginSilence(0), 60_000, PACE);
  t.is(silence.silentMs, 2 * PACE);
});

test("silence is never more than the time that passed, nor than two paces per look", (t) => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 10_000 })), (gaps) => {
      let silence = beginSilence(0);
      let now = 0;
      for (const gap of gaps) {
        now += gap;
        silence = tick(silence, now, PACE);
      }
      return silence.silentMs <= now && silence.silentMs <= gaps.length * 2 * PACE;
    }),
  );
  t.pass();
});
