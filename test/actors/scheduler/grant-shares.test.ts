import test from "ava";
import fc from "fast-check";
import { isNear, sharesOf } from "../../../actors/scheduler/grant-shares.ts";

test("a host with more containers gets more of the calls, in proportion", (t) => {
  t.deepEqual(sharesOf([1, 3], 1), [10, 30]);
  t.deepEqual(sharesOf([2, 2], 1), [20, 20]);
  t.deepEqual(sharesOf([1, 3], 2), [20, 60]);
});

test("whatever the hosts have, each is at the desk, and frontends get at most a tenth of the calls", (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 1_000 }), { minLength: 1, maxLength: 50 }),
      fc.integer({ min: 1, max: 6 }),
      (hosts, frontends) => {
        const shares = sharesOf(hosts, frontends);
        const all = shares.reduce((sum, share) => sum + share, 0);
        t.true(shares.every((share) => share >= 1 && share <= 256));
        t.true(frontends / (frontends + all) <= 0.1);
      },
    ),
  );
});

test("a share is told anew when it is another by a quarter, not for each container that comes or goes", (t) => {
  t.true(isNear(20, 22));
  t.true(isNear(1, 2));
  t.false(isNear(40, 20));
  t.false(isNear(20, 40));
});
