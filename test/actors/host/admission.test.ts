import test from "ava";
import fc from "fast-check";
import { type AdmissionView, admit } from "../../../actors/host/admission.ts";
import { LIMITS } from "../../../protocol/limits.ts";

const views = fc.record<AdmissionView>({
  queued: fc.nat(2_000),
  slots: fc.nat(100),
  meanRunMs: fc.option(fc.double({ min: 0.01, max: 100_000, noNaN: true }), { nil: undefined }),
  createMs: fc.double({ min: 0.1, max: 10_000, noNaN: true }),
  handOnMs: fc.double({ min: 0.1, max: 1_000, noNaN: true }),
  atCap: fc.boolean(),
  isFull: fc.boolean(),
  isShort: fc.boolean(),
  hasQueueRoom: fc.boolean(),
});

test("F025 a call waits only where there is room and somebody to wait for", (t) => {
  fc.assert(
    fc.property(views, (view) => {
      if (admit(view) === "queue") t.true(view.hasQueueRoom && view.slots > 0);
    }),
  );
  t.pass();
});

test("F025 below the cap a call waits exactly when waiting is at most as long as the way over the keeper and making a container", (t) => {
  fc.assert(
    fc.property(views, (given) => {
      const view = { ...given, atCap: false, isFull: false, hasQueueRoom: true, slots: given.slots + 1, meanRunMs: given.meanRunMs ?? 1 };
      const wait = ((view.queued + 1) * view.meanRunMs) / view.slots;
      t.is(admit(view), wait <= view.handOnMs + view.createMs ? "queue" : "hand-on");
    }),
  );
});

test("a longer queue or a slower function never turns handing on into waiting", (t) => {
  fc.assert(
    fc.property(views, fc.nat(100), fc.double({ min: 0, max: 1_000, noNaN: true }), (view, more, slower) => {
      if (admit(view) === "queue") return;
      const worse = { ...view, queued: view.queued + more, ...(view.meanRunMs !== undefined && { meanRunMs: view.meanRunMs + slower }) };
      t.is(admit(worse), "hand-on");
    }),
  );
  t.pass();
});

const view: AdmissionView = {
  queued: 0,
  slots: 1,
  meanRunMs: 1,
  createMs: 5,
  handOnMs: 1,
  atCap: false,
  isFull: false,
  isShort: false,
  hasQueueRoom: true,
};

test("at its cap a function's calls wait, whatever it takes", (t) => {
  t.is(admit({ ...view, queued: 900, meanRunMs: 10_000, createMs: 1, atCap: true }), "queue");
  t.is(admit({ ...view, queued: 1_024, createMs: 1, atCap: true, hasQueueRoom: false }), "hand-on");
});

test("F025 where no container may be made anywhere, short calls wait as long as others know nothing newer of the queue", (t) => {
  // Sixteen calls that each of four hosts has under way, of 0.4 ms each: longer than a container takes.
  const short = { ...view, queued: 15, meanRunMs: 0.4, isShort: true };
  t.is(admit(short), "hand-on");
  t.is(admit({ ...short, isFull: true }), "queue");
  t.is(admit({ ...short, isFull: true, queued: LIMITS.announceEvery.value / 0.4 - 1 }), "queue");
  t.is(admit({ ...short, isFull: true, queued: (LIMITS.announceEvery.value + 2) / 0.4 }), "hand-on");
});

test("F025 of long calls none waits at a busy host while another may be idle, also where no container may be made", (t) => {
  t.is(admit({ ...view, meanRunMs: 10, isFull: true }), "hand-on");
});

test("F025 while the way to another host is slow, calls rather wait", (t) => {
  const long = { ...view, meanRunMs: 10, queued: 2 };
  t.is(admit(long), "hand-on");
  t.is(admit({ ...long, handOnMs: 30 }), "queue");
});
