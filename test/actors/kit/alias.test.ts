import test from "ava";
import fc from "fast-check";
import { isSingle, resolveAlias } from "../../../actors/kit/alias.ts";
import type { AliasShare, FunctionRecord } from "../../../protocol/vocabulary.ts";
import { seededRandom } from "../../support/random.ts";

const record = (aliases: Record<string, readonly AliasShare[]>, versions = [1, 2, 3]): FunctionRecord => ({
  account: "main",
  name: "f",
  settings: { memoryMb: 128, timeoutMs: 1, keepAliveMs: 1, direct: true, idempotent: false, containers: 1 },
  aliases,
  newest: 3,
  versions,
  createdAt: 0,
  changedAt: 0,
});
const random = seededRandom();

test("a call without qualifier goes to live, a number to that version, a name to that alias", (t) => {
  const f = record({ live: [{ version: 3, weight: 100 }], beta: [{ version: 1, weight: 100 }] });
  t.is(resolveAlias(f, undefined, random), 3);
  t.is(resolveAlias(f, "2", random), 2);
  t.is(resolveAlias(f, "beta", random), 1);
  t.true(isSingle(f));
});

test("what does not exist is FunctionNotFound, also names that every object has", (t) => {
  const f = record({ live: [{ version: 3, weight: 100 }], empty: [] });
  for (const qualifier of ["4", "999999999", "0", "gamma", "constructor", "toString", "__proto__", "empty", ""]) {
    t.throws(() => resolveAlias(f, qualifier, random), { name: "FunctionNotFound" }, qualifier);
  }
  t.false(isSingle(f, "constructor"));
});

test("shares of an alias come up by their weights", (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 99 }), fc.integer(), (weight, seed) => {
      const f = record({
        live: [
          { version: 1, weight },
          { version: 2, weight: 100 - weight },
        ],
      });
      const random = seededRandom(seed);
      let first = 0;
      for (let n = 0; n < 4_000; n++) if (resolveAlias(f, undefined, random) === 1) first++;
      // Five standard deviations of 4,000 draws.
      return !isSingle(f) && Math.abs(first / 4_000 - weight / 100) < 5 * Math.sqrt(((weight / 100) * (1 - weight / 100)) / 4_000) + 0.001;
    }),
    { numRuns: 50 },
  );
  t.pass();
});

test("every draw gives a version of the alias, at both ends of the range too", (t) => {
  const f = record({
    live: [
      { version: 1, weight: 33 },
      { version: 2, weight: 33 },
      { version: 3, weight: 34 },
    ],
  });
  for (const [value, version] of [
    [0, 1],
    [0.3299, 1],
    [0.33, 2],
    [0.66, 3],
    [1 - 2 ** -53, 3],
  ] as const) {
    t.is(resolveAlias(f, undefined, { next: () => value, id: () => "" }), version, `${value}`);
  }
});
