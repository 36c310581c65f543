import test from "ava";
import { HandOnTime } from "../../../actors/host/hand-on-time.ts";

test("what handing on takes is learned within a few calls, in both directions", (t) => {
  const time = new HandOnTime();
  const rest = time.ms(0);
  for (let call = 0; call < 20; call++) time.took(50, 1_000);
  t.true(time.ms(1_000) > 40 && time.ms(1_000) <= 50);
  for (let call = 0; call < 20; call++) time.took(1, 1_000);
  t.true(time.ms(1_000) < rest + 1);
});

test("a busy moment is forgotten, so that long calls do not wait because of it while nothing is handed on", (t) => {
  const time = new HandOnTime();
  const rest = time.ms(0);
  for (let call = 0; call < 20; call++) time.took(50, 1_000);
  t.true(time.ms(1_500) < 26);
  t.true(time.ms(5_000) < rest + 0.5);
});
