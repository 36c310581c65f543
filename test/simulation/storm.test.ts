/** The real actors together, under storms of calls, changes and faults. A failing storm is printed with its seed and replays exactly. */
import test, { type ExecutionContext } from "ava";
import fc from "fast-check";
import { STEPS, type Step, storm } from "./storm.ts";
import type { Size } from "./world.ts";

const SIZES: Record<"small" | "several", Size> = {
  small: { frontends: 1, schedulers: 1, hosts: 2, hostMb: 1_500, warm: 1 },
  several: { frontends: 2, schedulers: 3, hosts: 3, hostMb: 2_200, warm: 1 },
};

/** Each seed is a sequence of this many storms. */
const STORMS = 12;

/**
 * The seeds that every run of the suite replays, among them those that once showed a fault. PILOT_SEED=7 replays another one,
 * PILOT_SEED=1-40 explores; 1 to 40 hold.
 */
function seedsOf(usual: readonly number[]): readonly number[] {
  const [, first, last] = /^(-?\d+)(?:-(\d+))?$/.exec(process.env["PILOT_SEED"] ?? "") ?? [];
  if (first === undefined) return usual;
  return Array.from({ length: Number(last ?? first) - Number(first) + 1 }, (_, nth) => Number(first) + nth);
}

async function weather(t: ExecutionContext, size: Size, kind: keyof typeof STEPS, usual: readonly number[]): Promise<void> {
  t.timeout(3_600_000);
  for (const seed of seedsOf(usual)) {
    await fc.assert(
      fc.asyncProperty(
        fc.integer(),
        fc.array(STEPS[kind] as fc.Arbitrary<Step>, { minLength: 20, maxLength: 80 }),
        async (world, steps) => {
          const { problems } = await storm(world, size, steps);
          if (problems.length > 0) throw new Error(problems.slice(0, 8).join("\n"));
        },
      ),
      { numRuns: STORMS, includeErrorInReport: true, endOnFailure: process.env["PILOT_SHRINK"] === undefined, seed },
    );
  }
  t.pass();
}

test("one scheduler, nothing fails: one reply and one run per call, caps hold, nobody waits for nothing, nothing is left over", (t) =>
  weather(t, SIZES.small, "calm", [1, 2, 3, 16]));

test("three schedulers, nothing fails: the same", (t) => weather(t, SIZES.several, "calm", [1, 2, 16]));

test("nodes are killed and start again: no call is lost that was handed on, none runs twice, no old version answers, caps hold", (t) =>
  weather(t, SIZES.several, "kills", [1, 3, 8, 20, 22]));

test("nodes hang or lose the broker for a while: every call is answered, none runs twice, no old version answers, caps hold, nothing is left over", (t) =>
  weather(t, SIZES.several, "cuts", [1, 3, 7, 12, 21, 23]));

test("functions call each other while nodes are killed and start again: every outer call is answered, no call runs twice, nothing is left over", (t) =>
  weather(t, SIZES.several, "nested", [1, 2, 3]));

test("leaders die, sleep and are cut off, and the store of leases stalls: every call is answered, no old version answers, no host obeys an older leader than it has heard of, and in the end one leads", (t) =>
  weather(t, SIZES.several, "leaders", [1, 2, 3]));

test("nodes stop in order and start again: every call is answered, none runs twice, no old version answers, caps hold, nothing is left over", (t) =>
  weather(t, SIZES.several, "stops", [1, 2, 3]));
