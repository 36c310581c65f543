/** The inbox multiplexer on a real broker: bounds, patience, and a connection that goes away. */
import anyTest, { type ExecutionContext, type TestFn } from "ava";
import { openCaller } from "../../nodes/io/caller.ts";
import { openInvoker } from "../../nodes/io/invoke.ts";
import { connect } from "../../nodes/io/nats.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { canRedeem, isAnswerable, SUBJECT } from "../../protocol/subjects.ts";
import { startTestBroker } from "../support/nats-server.ts";
import { until } from "../support/until.ts";

// A test with thousands of calls would take the time from its neighbours.
const test = anyTest.serial as unknown as TestFn;

const BODY = new TextEncoder().encode("x");
const FN = SUBJECT.fn("main", "f");

/** A caller and one who answers `f` when it wants to. */
async function open(t: ExecutionContext) {
  const broker = await startTestBroker(t);
  const settings = { servers: [broker.url] };
  const caller = await connect(settings, { name: "caller", role: "anonymous", node: "c", patient: true });
  const { user, pass } = broker.credentials("operator") as { user: string; pass: string };
  const server = await connect({ ...settings, user, password: pass }, { name: "server", role: "operator", node: "s", patient: true });
  t.teardown(() => Promise.all([caller.close(), server.close()]));
  const asked: { readonly reply: string; readonly body: string }[] = [];
  const answering = { now: true };
  server.bus.listen(FN, {}, (message) => {
    asked.push({ reply: message.reply, body: new TextDecoder().decode(message.body) });
    if (answering.now) server.bus.send(message.reply, message.body);
  });
  await server.nc.flush();
  return { broker, caller, server, asked, answering };
}

const faultOf = async (call: Promise<unknown>): Promise<Fault> =>
  call.then(
    () => new Fault("Internal", "it was answered"),
    (thrown: unknown) => thrown as Fault,
  );

test("a reply subject is short enough to be answered, and says whether its caller redeems claim checks", async (t) => {
  const { caller, asked } = await open(t);
  await caller.caller.call(FN, BODY, { timeoutMs: 5_000 });
  await caller.caller.call(FN, BODY, { timeoutMs: 5_000, redeems: true });
  for (const { reply } of asked) t.true(isAnswerable(reply, LIMITS.replySubject.value));
  t.deepEqual(
    asked.map(({ reply }) => canRedeem(reply)),
    [false, true],
  );
});

test("what nobody hears is told at once, and that nothing ran", async (t) => {
  const { caller } = await open(t);
  const fault = await faultOf(caller.caller.call(SUBJECT.fn("main", "nobody"), BODY, { timeoutMs: 60_000 }));
  t.like(fault, { name: "Unavailable", details: { undelivered: true, absent: true } });
});

test("a call that nobody answers ends when its time is over, and asks once for more", async (t) => {
  const { caller, answering } = await open(t);
  answering.now = false;
  let askedFor = 0;
  const more = () => {
    askedFor += 1;
    return Promise.resolve(50);
  };
  t.like(await faultOf(caller.caller.call(FN, BODY, { timeoutMs: 30, more })), { name: "Unavailable", details: { overdue: true } });
  t.is(askedFor, 1);
  t.like(await faultOf(caller.caller.call(FN, BODY, { timeoutMs: 30, more: () => Promise.reject(new Error("no")) })), {
    name: "Unavailable",
  });
  t.is(caller.caller.open, 0);
});

test("only so many calls are open at a time; one more is refused, and let in when one has ended", async (t) => {
  const { caller } = await open(t);
  const own = openCaller(caller.nc, "_INBOX");
  const stop = new AbortController();
  const last = faultOf(own.call(SUBJECT.fn("main", "silent"), BODY, { timeoutMs: 60_000, signal: stop.signal }));
  const calls = Array.from({ length: LIMITS.callsOutstanding.value - 1 }, () => faultOf(own.call(FN, BODY, { timeoutMs: 60_000 })));
  t.like(await faultOf(own.call(FN, BODY, { timeoutMs: 1_000 })), { name: "Throttled", details: { undelivered: true } });
  stop.abort();
  t.is((await last).name, "Cancelled");
  t.is((await own.call(FN, BODY, { timeoutMs: 60_000 })).body.length, 1);
  await Promise.all(calls);
  await own.idle();
  t.is(own.open, 0);
});

test("while the connection is away calls are kept and sent when it is back, each once, or end when they may wait no longer", async (t) => {
  const { caller, asked } = await open(t);
  const own = openCaller(caller.nc, "_INBOX");
  await own.call(FN, BODY, { timeoutMs: 5_000 });
  own.away();
  const kept = own.call(FN, new TextEncoder().encode("kept"), { timeoutMs: 30_000 });
  t.like(await faultOf(own.call(FN, new TextEncoder().encode("short"), { timeoutMs: 30_000, keptMs: 50 })), {
    name: "Unavailable",
    details: { undelivered: true, overdue: true },
  });
  const stop = new AbortController();
  const dropped = faultOf(own.call(FN, new TextEncoder().encode("dropped"), { timeoutMs: 30_000, signal: stop.signal }));
  stop.abort();
  t.is((await dropped).name, "Cancelled");
  own.back();
  t.is(new TextDecoder().decode((await kept).body), "kept");
  t.deepEqual(
    asked.map(({ body }) => body),
    ["x", "kept"],
  );
});

test("who gathers calls sends those of one turn together, none that has ended, and keeps them when the connection goes in between", async (t) => {
  const { caller, asked } = await open(t);
  const own = openCaller(caller.nc, "_INBOX", { gathers: true });
  const bytes = (text: string) => new TextEncoder().encode(text);
  const texts = Array.from({ length: 50 }, (_, nth) => `together ${nth}`);
  const stop = new AbortController();
  const dropped = faultOf(own.call(FN, bytes("dropped"), { timeoutMs: 30_000, signal: stop.signal }));
  const answers = texts.map((text) => own.call(FN, bytes(text), { timeoutMs: 30_000 }));
  stop.abort();
  t.is((await dropped).name, "Cancelled");
  t.deepEqual(
    (await Promise.all(answers)).map(({ body }) => new TextDecoder().decode(body)),
    texts,
  );
  const between = own.call(FN, bytes("between"), { timeoutMs: 30_000 });
  own.away();
  const late = own.call(FN, bytes("late"), { timeoutMs: 30_000 });
  await new Promise((resolve) => setImmediate(resolve));
  await caller.nc.flush();
  t.is(asked.length, texts.length);
  own.back();
  await Promise.all([between, late]);
  t.deepEqual(
    asked.map(({ body }) => body),
    [...texts, "between", "late"],
  );
});

test("only so many calls and bytes are kept for a connection that is away", async (t) => {
  const { caller } = await open(t);
  const own = openCaller(caller.nc, "_INBOX");
  own.away();
  const large = new Uint8Array(LIMITS.callsHeldBytes.value / 16);
  const calls = Array.from({ length: 16 }, () => faultOf(own.call(FN, large, { timeoutMs: 60_000 })));
  t.like(await faultOf(own.call(FN, BODY, { timeoutMs: 60_000 })), { name: "Unavailable", details: { undelivered: true } });
  own.end(new Fault("Cancelled", "over"));
  for (const fault of await Promise.all(calls)) t.is(fault.name, "Cancelled");
  const many = openCaller(caller.nc, "_INBOX");
  many.away();
  const small = Array.from({ length: LIMITS.callsHeld.value }, () => faultOf(many.call(FN, BODY, { timeoutMs: 60_000 })));
  t.is((await faultOf(many.call(FN, BODY, { timeoutMs: 60_000 }))).name, "Unavailable");
  many.end(new Fault("Cancelled", "over"));
  t.is((await Promise.all(small)).length, LIMITS.callsHeld.value);
});

test("who does not want to wait for a connection is told at once, of new calls and of those under way", async (t) => {
  const { caller, answering, asked } = await open(t);
  const own = openCaller(caller.nc, "_INBOX", { calls: "fail", underWay: "fail" });
  answering.now = false;
  const underWay = faultOf(own.call(FN, BODY, { timeoutMs: 60_000 }));
  await until(() => (asked.length === 1 ? true : undefined), "the call to arrive", 15_000);
  own.away();
  t.is((await underWay).name, "InstanceLost");
  t.like(await faultOf(own.call(FN, BODY, { timeoutMs: 60_000 })), { name: "Unavailable", details: { undelivered: true } });
  own.back();
  answering.now = true;
  t.is((await own.call(FN, BODY, { timeoutMs: 15_000 })).body.length, 1);
});

test("a call whose connection went away ends as InstanceLost with advice when no reply comes", async (t) => {
  const { caller, answering, asked } = await open(t);
  const own = openCaller(caller.nc, "_INBOX");
  answering.now = false;
  const call = faultOf(openInvoker({ caller: own }).invoke({ account: "main", callee: { name: "f" }, body: BODY, patienceMs: 1_000 }));
  await until(() => (asked.length === 1 ? true : undefined), "the call to arrive", 15_000);
  own.away();
  own.back();
  const fault = await call;
  t.is(fault.name, "InstanceLost");
  t.regex(fault.message, /the connection to the broker was away meanwhile/);
  t.regex(String(fault.details?.["next"]), /running twice does no harm/);
});

test("a broker that dies and comes back: a call that is made meanwhile is answered, once", async (t) => {
  const { broker, caller, asked } = await open(t);
  const dead = broker.crash();
  await until(() => (caller.bus.connected ? undefined : true), "the connection to be lost", 15_000);
  const order = {
    account: "main",
    callee: { name: "f" },
    body: new TextEncoder().encode("patient"),
    deadlineMs: 30_000,
    retriesAbsent: true,
  };
  const patient = openInvoker({ caller: caller.caller }).invoke(order);
  await dead;
  t.is(new TextDecoder().decode((await patient).body), "patient");
  t.is(asked.length, 1);
});

test("a closed connection ends every call, and takes none", async (t) => {
  const { caller, answering, asked } = await open(t);
  answering.now = false;
  const call = faultOf(caller.caller.call(FN, BODY, { timeoutMs: 60_000 }));
  await until(() => (asked.length === 1 ? true : undefined), "the call to arrive", 15_000);
  await caller.nc.close();
  t.is((await call).name, "Unavailable");
  t.is((await faultOf(caller.caller.call(FN, BODY, { timeoutMs: 60_000 }))).name, "Unavailable");
  await caller.caller.idle();
});

test("a reply whose headers cannot be read fails its own call and no other", async (t) => {
  const { caller, server, asked, answering } = await open(t);
  answering.now = false;
  const own = openCaller(caller.nc, "_INBOX");
  const call = faultOf(own.call(FN, BODY, { timeoutMs: 10_000 }));
  await until(() => (asked.length === 1 ? true : undefined), "the call to arrive", 15_000);
  server.bus.send(asked[0]?.reply ?? "", new TextEncoder().encode("{"), undefined, {
    "Nats-Service-Error-Code": "500",
    "Pilot-Error": "Surprise",
  });
  t.like(await call, { name: "Internal", message: "error 500" });
  answering.now = true;
  t.is(new TextDecoder().decode((await own.call(FN, BODY, { timeoutMs: 10_000 })).body), "x");
});
