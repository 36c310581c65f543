import test from "ava";
import fc from "fast-check";
import { type AdmissionView, admit } from "../../../actors/host/admission.ts";

const views = fc.record<AdmissionView>({
  queued: fc.nat(2_000),
  slots: fc.nat(100),
  meanRunMs: fc.option(fc.double({ min: 0.01, max: 100_000, noNaN: true }), { nil: undefined }),
  createMs: fc.double({ min: 0.1, max: 10_000, noNaN: true }),
  atCap: fc.boolean(),
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

test("F025 below the cap a call waits exactly when waiting is at most as long as making a container", (t) => {
  fc.assert(
    fc.property(views, (given) => {
      const view = { ...given, atCap: false, hasQueueRoom: true, slots: given.slots + 1, meanRunMs: given.meanRunMs ?? 1 };
      const wait = ((view.queued + 1) * view.meanRunMs) / view.slots;
      t.is(admit(view), wait <= view.createMs ? "queue" : "hand-on");
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

test("at its cap a function's calls wait, whatever it takes", (t) => {
  t.is(admit({ queued: 900, slots: 1, meanRunMs: 10_000, createMs: 1, atCap: true, hasQueueRoom: true }), "queue");
  t.is(admit({ queued: 1_024, slots: 1, meanRunMs: 1, createMs: 1, atCap: true, hasQueueRoom: false }), "hand-on");
});
