import test from "ava";
import fc from "fast-check";
import { openGate } from "../../../nodes/io/code/gate.ts";

test("never more than allowed run at once, all that wait run in order, and what is over the waiting room is Throttled", async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 0, max: 6 }),
      fc.array(fc.boolean(), { maxLength: 20 }),
      async (atOnce, waiting, fates) => {
        const gate = openGate("pieces of work", atOnce, waiting);
        let running = 0;
        let most = 0;
        const began: number[] = [];
        const ended = await Promise.all(
          fates.map((fails, nth) =>
            gate(async () => {
              began.push(nth);
              most = Math.max(most, ++running);
              await new Promise((resolve) => setImmediate(resolve));
              running--;
              if (fails) throw new RangeError("on purpose");
              return nth;
            }).then(String, (thrown: Error) => thrown.name),
          ),
        );
        const admitted = Math.min(fates.length, atOnce + waiting);
        t.true(most <= atOnce);
        t.deepEqual(
          began,
          Array.from({ length: admitted }, (_, nth) => nth),
        );
        for (const [nth, said] of ended.entries()) t.is(said, nth >= admitted ? "Throttled" : fates[nth] ? "RangeError" : String(nth));
        // Places come back, also from work that failed.
        t.is(await gate(async () => "again"), "again");
      },
    ),
    { numRuns: 50 },
  );
});
