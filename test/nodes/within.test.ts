import test from "ava";
import { within } from "../../nodes/io/within.ts";

test("a step that never ends is given up at its deadline, with a sentence; one that ends is not", async (t) => {
  await t.throwsAsync(within(new Promise(() => undefined), 5, "nobody answered"), { message: "nobody answered within 5 ms" });
  t.is(await within(Promise.resolve(1), 60_000, "nobody answered"), 1);
  await t.throwsAsync(within(Promise.reject(new Error("its own")), 60_000, "nobody answered"), { message: "its own" });
});
