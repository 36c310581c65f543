import test from "ava";
import fc from "fast-check";
import { aheadDepth } from "../../../actors/host/ahead.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { cancelOnHost } from "../../../protocol/messages/host.ts";
import { type Rig, rig } from "./rig.ts";

/** A granted function on one container, of which the host knows that its runs are short. */
async function short(t: Parameters<typeof rig>[0], containers = 1): Promise<Rig> {
  const programs = {
    pace: {
      run: async (body: Uint8Array, context: { sleep(ms: number): Promise<void> }) => {
        const ms = Number(new TextDecoder().decode(body));
        if (ms > 0) await context.sleep(ms);
        return body.slice();
      },
    },
  };
  const r = await rig(t, {}, programs);
  r.call("pace", "warm", "0");
  await r.clock.advance(200);
  const instance = r.active[0]?.id;
  for (let nth = 1; nth < containers; nth++) {
    r.call("pace", "cached", "20", {}, instance);
    r.call("pace", "cached", "20", {}, instance);
    await r.clock.advance(200);
  }
  // At a lower cap the keeper would be asked, and there is none here.
  await r.grant("pace", { containers: LIMITS.containersPerFunction.value });
  // The moving average forgets the longer runs.
  for (let nth = 0; nth < 60; nth++) {
    r.direct("pace", "0");
    await r.clock.settle();
  }
  return r;
}

test("no more calls stand ahead than the wait behind them is worth, and none where a runtime cannot give them back", (t) => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 100, noNaN: true }), fc.integer({ min: 0, max: 1_000_000 }), (meanRunMs, bodyBytes) => {
      const depth = aheadDepth({ meanRunMs, givesBack: true, bodyBytes });
      return (
        depth >= 0 &&
        depth <= LIMITS.callsAhead.value &&
        depth * meanRunMs <= LIMITS.aheadWait.value + 1e-9 &&
        (bodyBytes <= LIMITS.aheadBody.value || depth === 0)
      );
    }),
  );
  t.is(aheadDepth({ meanRunMs: 0.05, givesBack: false, bodyBytes: 1 }), 0);
  t.is(aheadDepth({ meanRunMs: undefined, givesBack: true, bodyBytes: 1 }), 0);
  t.is(aheadDepth({ meanRunMs: 5, givesBack: true, bodyBytes: 1 }), 0);
});

test("a burst of short calls goes into the busy container, in order, and each is answered once", async (t) => {
  const r = await short(t);
  const sent = Array.from({ length: 40 }, () => r.direct("pace", "0"));
  await r.clock.advance(100);
  for (const call of sent) t.is(call.reply.body, "0");
  t.is(r.sandbox.containers.filter((container) => container.calls > 0).length, 1);
  t.is(r.host.describe().functions[0]?.calls, 101);
});

test("calls behind one that turns out slow are given back and served by another container", async (t) => {
  const r = await short(t, 2);
  const slow = r.direct("pace", "400");
  const behind = Array.from({ length: 6 }, () => r.direct("pace", "0"));
  await r.clock.advance(60);
  for (const call of behind) t.is(call.reply.body, "0");
  t.is(slow.replies.length, 0);
  t.true(r.counter("calls.givenBack") > 0);
  await r.clock.advance(500);
  t.is(slow.reply.body, "400");
});

test("calls behind one that runs over its time limit are run elsewhere; only that one is TimedOut", async (t) => {
  const r = await short(t);
  const stuck = r.direct("pace", "60000");
  const behind = Array.from({ length: 5 }, () => r.direct("pace", "0"));
  await r.clock.advance(2_500);
  t.is(stuck.reply.error, "TimedOut");
  for (const call of behind) t.is(call.reply.error, undefined);
});

test("calls behind one whose container dies are run elsewhere, once each", async (t) => {
  const r = await short(t);
  const head = r.direct("pace", "300");
  const behind = Array.from({ length: 5 }, () => r.direct("pace", "0"));
  await r.clock.settle();
  const container = r.sandbox.containers.find((one) => one.calls > 0);
  void container?.end({ kind: "exited", code: 3 });
  await r.clock.advance(1_000);
  t.is(head.reply.error, "Crashed");
  for (const call of behind) t.is(call.reply.body, "0");
});

test("a call that stands ahead can be cancelled, and the others are not hurt", async (t) => {
  const r = await short(t);
  r.direct("pace", "5");
  const ids = Array.from({ length: 3 }, () => r.head("pace"));
  const ordered = ids.map((head) => r.order({ ...head, place: { rung: "hot", by: "frontend", queue: true } }, "0"));
  await r.clock.settle();
  const { cancelled } = await r.settled(r.outside.ask(cancelOnHost, ["h1"], { call: ids[1]?.call ?? "" }));
  t.true(cancelled);
  await r.clock.advance(200);
  t.deepEqual(
    ordered.map((sent) => sent.reply.error),
    [undefined, "Cancelled", undefined],
  );
});

test("whatever lengths the calls of a short function have, each is answered exactly once", async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.constantFrom(0, 0, 0, 0, 3, 15, 40), { minLength: 1, maxLength: 60 }), async (lengths) => {
      const r = await short(t);
      const sent = lengths.map((ms) => r.direct("pace", String(ms)));
      await r.clock.advance(3_000);
      return (
        sent.every((call, at) => call.reply.body === String(lengths[at]) || call.reply.body === "") &&
        r.host.describe().counters["frames.late"] === undefined
      );
    }),
    { numRuns: 25 },
  );
  t.pass();
});
