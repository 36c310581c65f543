import { createHash } from "node:crypto";
import test, { type ExecutionContext } from "ava";
import { BodyParts } from "../../../actors/frontend/bodies.ts";
import type { Bus } from "../../../actors/kit/bus.ts";
import { BODY_HEADER, formatBody, partsOf } from "../../../protocol/bodies.ts";
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { SUBJECT } from "../../../protocol/subjects.ts";
import { openCallPath } from "../../support/call-path.ts";
import { instance } from "../../support/fleet.ts";

const ID = "0123456789abcdef0123456789abcdef";
const SHA = createHash("sha256").update("x").digest("hex");

async function open(t: ExecutionContext) {
  const path = await openCallPath();
  t.teardown(() => path.close());
  const host = path.host();
  const scheduler = await path.scheduler();
  const frontend = await path.frontend();
  await path.deploy("echo");
  await path.buckets.accounts.put("main", { name: "main", active: true } as never);
  await path.buckets.accounts.put("closed", { name: "closed", active: false } as never);
  await path.buckets.accounts.put("second", { name: "second", active: true } as never);
  await path.clock.settle();
  const caller = path.caller();
  const ask = async (subject: string, body = "", reply?: string) => {
    caller.call(subject, body, undefined, reply);
    await path.clock.settle();
    return caller.replies.at(-1);
  };
  return { ...path, host, scheduler, frontend, caller, ask };
}

test("parts are stored and read for callers, again as often as they like, and not replaced", async (t) => {
  const { ask, bodies } = await open(t);
  t.is((await ask(SUBJECT.bodyPart("main", "put", ID, 0), "bytes"))?.error, undefined);
  t.is((await ask(SUBJECT.bodyPart("main", "put", ID, 0), "bytes"))?.error, undefined);
  t.is((await ask(SUBJECT.bodyPart("main", "put", ID, 0), "other"))?.error, "Conflict");
  t.is((await ask(SUBJECT.bodyPart("main", "get", ID, 0)))?.body, "bytes");
  t.is((await ask(SUBJECT.bodyPart("second", "get", ID, 0)))?.error, "BodyUnavailable");
  t.is((await ask(SUBJECT.bodyPart("main", "drop", ID, 1)))?.error, undefined);
  t.is((await ask(SUBJECT.bodyPart("main", "get", ID, 0)))?.error, "BodyUnavailable");
  t.is(bodies.parts.size, 1);
});

test("what is wrong with a part is said before the store hears of it", async (t) => {
  const { ask, bodies, caller, clock, frontend } = await open(t);
  t.is((await ask("pilot.body.main.put.x.0", "bytes"))?.error, "BadName");
  t.is((await ask(`pilot.body.main.put.${ID}.0.1`, "bytes"))?.error, "BadName");
  t.is((await ask(`pilot.body.Main.put.${ID}.0`, "bytes"))?.error, "BadName");
  t.is((await ask(SUBJECT.bodyPart("main", "put", ID, 9_999), "bytes"))?.error, "BadName");
  t.is((await ask(SUBJECT.bodyPart("main", "put", ID, 0)))?.error, "BadRequest");
  t.is((await ask(SUBJECT.bodyPart("main", "put", ID, 0), "x".repeat(LIMITS.bodyPart.value + 1)))?.error, "PayloadTooLarge");
  t.is((await ask(SUBJECT.bodyPart("nobody", "put", ID, 0), "bytes"))?.error, "NotFound");
  t.is((await ask(SUBJECT.bodyPart("closed", "put", ID, 0), "bytes"))?.error, "NotAllowed");
  const before = caller.replies.length;
  for (const reply of ["_pilot.node.x.sync", "$O.pilot_bodies.C.x", `_INBOX.${"x".repeat(300)}`])
    await ask(SUBJECT.bodyPart("main", "put", ID, 0), "bytes", reply);
  t.is(caller.replies.length, before);
  await clock.settle();
  t.is(bodies.parts.size, 0);
  t.is(frontend.counters()["dropped.badReply"], 3);
});

test("parts under work are bounded, half of them for one account; what is over is Throttled, and room comes back", async (t) => {
  const { clock, caller, bodies, frontend } = await open(t);
  let release: () => void = () => undefined;
  bodies.gate = new Promise((resolve) => {
    release = resolve;
  });
  const most = LIMITS.bodyParts.value;
  const put = (account: string, count: number) => {
    for (let part = 0; part < count; part++) caller.call(SUBJECT.bodyPart(account, "put", ID, part), "bytes");
  };
  put("main", most / 2 + 3);
  await clock.settle();
  t.deepEqual(
    caller.replies.map(({ error }) => error),
    ["Throttled", "Throttled", "Throttled"],
  );
  t.truthy(caller.replies[0]?.header("Pilot-Retry-After"));
  put("second", most / 2);
  await clock.settle();
  t.is(caller.replies.length, 3);
  t.is(frontend.counters()["bodyParts"], most);
  bodies.gate = undefined;
  release();
  await clock.settle();
  t.is(caller.replies.length, 3 + most);
  t.is(frontend.counters()["bodyParts"], 0);
  put("main", 1);
  await clock.settle();
  t.is(caller.replies.at(-1)?.error, undefined);
});

test("a limit that the store names is counted", async (t) => {
  const { ask, bodies, frontend } = await open(t);
  bodies.put = () => Promise.reject(new Fault("Throttled", "the account has its share", { limit: "accountBodies" }));
  const refused = await ask(SUBJECT.bodyPart("main", "put", ID, 0), "bytes");
  t.is(refused?.error, "Throttled");
  t.is(JSON.parse(refused?.body ?? "{}").limit, "accountBodies");
  t.is(frontend.counters()["limit.accountBodies"], 1);
});

test("a claim check goes to the host in the head of its call; a malformed one, or one beside a body, is refused", async (t) => {
  const { clock, host, caller } = await open(t);
  const slot = { key: "main.echo.1@128", idle: 2, busy: 0, loading: 0, queued: 0, runMs: 1 };
  host.announce({ instances: [instance({ slots: [slot] } as never)] });
  await clock.settle();
  const bytes = 5_000_000;
  const ref = { id: ID, parts: partsOf(bytes), bytes, sha256: SHA };
  caller.call("pilot.fn.main.echo", "", { [BODY_HEADER]: formatBody(ref) });
  await clock.settle();
  t.deepEqual(host.orders[0]?.head.bodyRef, ref);
  t.is(host.orders[0]?.body, "");
  caller.call("pilot.fn.main.echo", "and a body", { [BODY_HEADER]: formatBody(ref) });
  caller.call("pilot.fn.main.echo", "", { [BODY_HEADER]: formatBody({ ...ref, bytes: LIMITS.largeBody.value + 1 }) });
  caller.call("pilot.fn.main.echo", "", { [BODY_HEADER]: "x" });
  caller.call("pilot.inline.main", JSON.stringify({ code: "x", event: 1 }), { [BODY_HEADER]: formatBody(ref) });
  await clock.settle();
  t.deepEqual(
    caller.replies.map(({ error }) => error),
    ["BadRequest", "BadHeader", "BadHeader", "BadHeader"],
  );
  t.is(host.orders.length, 1);
});

test("while a host or scheduler of a release without large bodies is there, such a call is refused and not run with an empty body", async (t) => {
  const { clock, host, caller } = await open(t);
  const slot = { key: "main.echo.1@128", idle: 2, busy: 0, loading: 0 };
  const bytes = 5_000_000;
  const call = () =>
    caller.call("pilot.fn.main.echo", "", { [BODY_HEADER]: formatBody({ id: ID, parts: partsOf(bytes), bytes, sha256: SHA }) });
  host.announce({ instances: [instance({ slots: [slot] })], protocol: 1 });
  await clock.settle();
  call();
  await clock.settle();
  t.is(caller.replies[0]?.error, "Unavailable");
  t.regex(caller.replies[0]?.message ?? "", /not so h1/);
  t.is(host.orders.length, 0);
  host.announce({ instances: [instance({ slots: [slot] })] });
  await clock.settle();
  call();
  await clock.settle();
  t.is(host.orders.length, 1);
});

test("an answer that a closing connection does not take is counted, and ends no process", async (t) => {
  const counted: string[] = [];
  const send = () => {
    throw new Error("the connection is draining");
  };
  for (const outcome of [Promise.resolve(new Uint8Array(1)), Promise.reject(new Fault("Unavailable", "no answer"))]) {
    const parts = new BodyParts({
      bus: { send } as unknown as Bus,
      store: { get: () => outcome, put: () => Promise.resolve(), drop: () => Promise.resolve() },
      account: () => ({ name: "main", active: true }) as never,
      answerable: ({ reply }) => reply,
      fail: send,
      count: (counter) => counted.push(counter),
    });
    parts.arrived({ subject: SUBJECT.bodyPart("main", "get", ID, 0), reply: "_INBOX.x", body: new Uint8Array() } as never);
    await new Promise((resolve) => setImmediate(resolve));
    t.is(parts.size, 0);
  }
  t.deepEqual(counted, ["dropped.unsent", "dropped.unsent"]);
});
