import test from "ava";
import fc from "fast-check";
import { Fence } from "../../../actors/host/fence.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { grantFunctions, recallGrant } from "../../../protocol/messages/host.ts";
import { type Rig, rig } from "./rig.ts";

test("of an older leader than one that was heard nothing is admitted, of any other all", (t) => {
  fc.assert(
    fc.property(fc.array(fc.nat(20), { maxLength: 50 }), (epochs) => {
      const fence = new Fence();
      let newest = 0;
      for (const epoch of epochs) {
        const refused = fence.refuses(epoch, 0);
        if (refused !== (epoch < newest ? newest : undefined)) return false;
        newest = Math.max(newest, epoch);
      }
      return true;
    }),
  );
  t.pass();
});

test("a leader that was not heard of for long is forgotten, one that tells again is not", (t) => {
  const fence = new Fence();
  const memory = LIMITS.leaderMemory.value;
  t.is(fence.refuses(7, 0), undefined);
  t.is(fence.refuses(7, memory), undefined);
  t.is(fence.refuses(1, 2 * memory), 7);
  t.is(fence.refuses(1, 2 * memory + 1), undefined);
  t.is(fence.refuses(1, 2 * memory + 2), undefined);
});

/** Orders of a leader; without one, of a scheduler of the release before. */
function orders(r: Rig, leaderEpoch?: number) {
  const by = leaderEpoch === undefined ? {} : { leaderEpoch };
  return {
    tell: () => r.settled(r.outside.ask(grantFunctions, ["h1"], { grants: [], ...by })),
    grant: (epoch: number) => r.settled(r.outside.ask(grantFunctions, ["h1"], { grants: [r.grantOf("echo", { epoch })], ...by })),
    recall: (epoch: number) => r.settled(r.outside.ask(recallGrant, ["h1"], { account: "main", function: "echo", epoch, ...by })),
  };
}
const granted = (r: Rig): boolean => r.host.describe().grants.length > 0;

test("a leader that only tells that it leads fences the one before: no grant of that one is taken or renewed", async (t) => {
  const r = await rig(t);
  t.deepEqual(await orders(r, 3).grant(5), { refused: [] });
  t.deepEqual(await orders(r, 8).tell(), { refused: [] });
  t.deepEqual(await orders(r, 3).grant(6), { refused: ["main.echo"], fenced: 8 });
  t.deepEqual(await orders(r, 3).tell(), { refused: [], fenced: 8 });
  t.is(r.host.describe().counters["orders.fenced"], 2);
  // What it gave before ends by itself.
  t.true(granted(r));
  await r.clock.advance(LIMITS.grantLife.value + LIMITS.hostTick.value);
  t.false(granted(r));
  t.deepEqual(await orders(r, 8).grant(5), { refused: [] });
});

test("a recall of an older leader ends no grant that a newer one gave for the same record, and any for a newer record", async (t) => {
  const r = await rig(t);
  await orders(r, 8).grant(5);
  t.deepEqual(await orders(r, 3).recall(5), { fenced: 8 });
  t.true(granted(r));
  t.deepEqual(await orders(r, 3).recall(6), { fenced: 8 });
  t.false(granted(r));
  t.deepEqual(await orders(r, 8).grant(5), { refused: ["main.echo"] });
});

test("a leader that was followed takes back what it gave itself", async (t) => {
  const r = await rig(t);
  await orders(r, 3).grant(5);
  await orders(r, 8).tell();
  t.deepEqual(await orders(r, 3).recall(5), { fenced: 8 });
  t.false(granted(r));
});

test("a scheduler of the release before, and one that does not lead, are fenced by the record alone", async (t) => {
  const r = await rig(t);
  await orders(r, 8).grant(5);
  t.deepEqual(await orders(r).grant(5), { refused: [] });
  t.deepEqual(await orders(r).grant(4), { refused: ["main.echo"] });
  t.deepEqual(await orders(r, 8).grant(6), { refused: [] });
  t.deepEqual(await orders(r).recall(6), {});
  t.false(granted(r));
});
