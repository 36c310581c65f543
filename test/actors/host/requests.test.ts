import test from "ava";
import { encode, joinHead } from "../../../protocol/codec.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { callReport } from "../../../protocol/messages/call.ts";
import { parseBackSubject } from "../../../protocol/subjects.ts";
import type { FakeContext, FakeProgram } from "../../../runtimes/fake/program.ts";
import { bytesOf, type KeptOn, rig } from "./rig.ts";

const text = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes);

/** Where a nested call is answered. */
const inboxOf = (kept: KeptOn | undefined): string => parseBackSubject(kept?.reply ?? "")?.reply ?? "";

/** Runs an action of a handler and answers with its outcome as text. */
const tries = (action: (context: FakeContext, body: string) => Promise<unknown>): FakeProgram => ({
  run: async (body, context) => {
    try {
      return bytesOf(`ok ${String(await action(context, text(body)))}`);
    } catch (error) {
      return bytesOf(error instanceof Error ? `${error.name}: ${error.message}` : String(error));
    }
  },
});

const caller = tries(async (context, body) => text(await context.call(body, bytesOf("payload"))));

test("a nested call is asked of a frontend and goes to its keeper with its chain, and the answer comes back into the handler", async (t) => {
  const r = await rig(t, {}, { caller });
  r.withPlacing();
  const sent = r.call("caller", "warm", "other.live", { chain: ["main.top"] });
  await r.clock.settle();
  const [asked] = r.asked;
  t.is(asked?.question.function, "other");
  t.is(asked?.question.qualifier, "live");
  const [kept] = r.toKeeper;
  t.deepEqual(kept?.head.chain, ["main.top", "main.caller"]);
  t.is(kept?.head.owner, "h1");
  t.is(kept?.body, "payload");
  const inbox = inboxOf(kept);
  t.true(inbox.startsWith("_pilot.inbox.host.h1."));
  r.outside.send(inbox, bytesOf("answer"));
  await r.clock.settle();
  t.is(sent.reply.body, "ok answer");
});

test("a nested call runs in an idle container of its caller's host, once, and no keeper hears of it; where none is idle its keeper places it", async (t) => {
  const asks = tries(async (context, body) => text(await context.call("sleep", bytesOf(body))));
  const r = await rig(t, { pools: [{ runtime: "node", memoryMb: 1_024, warm: 2 }] }, { asks });
  r.withPlacing();
  r.call("sleep", "warm", "10");
  await r.clock.advance(100);
  const near = r.call("asks", "warm", "100");
  await r.clock.settle();
  t.deepEqual([near.replies.length, r.asked.length, r.toKeeper.length, r.counter("nested.here")], [0, 1, 0, 1]);
  // That container is busy now.
  const far = r.call("asks", "own", "100");
  await r.clock.settle();
  t.deepEqual([r.asked.length, r.toKeeper.length], [2, 1]);
  r.outside.send(inboxOf(r.toKeeper[0]), bytesOf("from afar"));
  await r.clock.advance(200);
  t.is(near.reply.body, "ok slept");
  t.is(far.reply.body, "ok from afar");
  const runs = r.records.filter(({ function: name, path }) => name === "sleep" && path === "frontend");
  t.deepEqual(
    runs.map(({ rung, reason, attempt }) => [rung, reason, attempt]),
    [["hot", "an idle container is where its caller runs", 1]],
  );
  // Only the one of which no host has been heard is still held.
  t.is(r.host.held()["handed"], 1);
});

test("an error of a nested call arrives by its name; one of which no frontend hears is Unavailable when it has waited for one", async (t) => {
  const r = await rig(t, { pools: [{ runtime: "node", memoryMb: 1_024, warm: 2 }] }, { caller, caller2: caller });
  const alone = r.call("caller2", "warm", "other", { timeoutMs: 10_000 });
  await r.clock.advance(LIMITS.waitForPlace.value - 500);
  t.is(alone.replies.length, 0);
  await r.clock.advance(1_000);
  t.regex(alone.reply.body, /^Unavailable: no frontend/);
  r.withPlacing();
  const sent = r.call("caller", "warm", "other", { account: "second" });
  await r.clock.settle();
  r.outside.send(inboxOf(r.toKeeper[0]), bytesOf("{}"), "", { "Pilot-Error": "TimedOut", "Nats-Service-Error": "too long" });
  await r.clock.settle();
  t.is(sent.reply.body, "TimedOut: too long");
  r.answering = false;
  const unknown = r.call("caller", "hot", "nobody", { account: "second" });
  await r.clock.settle();
  r.outside.send(r.asked.at(-1)?.back ?? "", bytesOf("{}"), "", { "Pilot-Error": "FunctionNotFound", "Nats-Service-Error": "no such" });
  await r.clock.settle();
  t.is(unknown.reply.body, "FunctionNotFound: no such");
});

test("a question that a frontend took with it when it died is asked again, and however many are answered, the call is placed once", async (t) => {
  const r = await rig(t, {}, { caller });
  r.withPlacing();
  r.answering = false;
  const sent = r.call("caller", "warm", "other", { timeoutMs: 10_000 });
  await r.clock.advance(1_500);
  t.true(r.asked.length >= 2 && r.asked.length <= 4, `${r.asked.length}`);
  t.is(r.toKeeper.length, 0);
  t.is(r.host.held()["handedBytes"], "payload".length);
  for (const at of r.asked.keys()) r.answer(at);
  await r.clock.settle();
  t.is(r.toKeeper.length, 1);
  r.outside.send(inboxOf(r.toKeeper[0]), bytesOf("answer"));
  await r.clock.settle();
  t.is(sent.reply.body, "ok answer");
});

test("a question that is answered when its call is with a keeper already says nothing of the call, whatever the answer", async (t) => {
  const r = await rig(t, {}, { caller });
  r.withPlacing();
  r.answering = false;
  const sent = r.call("caller", "warm", "other", { timeoutMs: 10_000 });
  await r.clock.advance(1_200);
  t.true(r.asked.length >= 2, `${r.asked.length}`);
  for (const at of [...r.asked.keys()].reverse()) r.answer(at);
  r.outside.send(r.asked[0]?.back ?? "", bytesOf("{}"), "", { "Pilot-Error": "Unavailable", "Nats-Service-Error": "slept" });
  await r.clock.settle();
  t.is(r.toKeeper.length, 1);
  t.deepEqual(r.bus.caught, []);
  r.outside.send(inboxOf(r.toKeeper[0]), bytesOf("answer"));
  await r.clock.settle();
  t.is(sent.reply.body, "ok answer");
});

test("a nested call waits for a keeper, goes to the one that follows, and is asked about where nothing is heard of it", async (t) => {
  const r = await rig(t, {}, { caller });
  r.withDesk();
  const sent = r.call("caller", "warm", "other", { timeoutMs: 10_000 });
  await r.clock.advance(300);
  r.withKeeper();
  const dies = r.withScheduler("first");
  await r.clock.advance(200);
  t.is(r.toKeeper.length, 1);
  await r.clock.advance(800);
  t.is(r.toKeeper.at(-1)?.head.probe, true);
  dies();
  const probes = r.toKeeper.length;
  r.withScheduler("second");
  await r.clock.advance(200);
  const again = r.toKeeper[probes];
  t.is(again?.head.probe, undefined);
  t.is(again?.head.call, r.toKeeper[0]?.head.call);
  t.is(again?.body, "payload");
  // It says that it does not know the call: then that was lost, and it gets it again.
  const whole = r.toKeeper.length;
  r.outside.send(again?.reply ?? "", encode({ refused: "draining", reason: "away" }));
  await r.clock.advance(100);
  t.is(r.toKeeper.length, whole + 1);
  t.is(r.toKeeper.at(-1)?.body, "payload");
  r.outside.send(inboxOf(r.toKeeper.at(-1)), bytesOf("answer"));
  await r.clock.settle();
  t.is(sent.reply.body, "ok answer");
});

for (const by of ["report", "duplicate"] as const) {
  test(`a nested call that a host had taken when it died is InstanceLost, and is sent nowhere again; taken as said by a ${by}`, async (t) => {
    const r = await rig(t, {}, { caller });
    r.withPlacing();
    const sent = r.call("caller", "warm", "other", { timeoutMs: 10_000 });
    await r.clock.settle();
    const [kept] = r.toKeeper;
    const number = kept?.head.number ?? 0;
    const news = { from: "h2", epoch: "e", taken: [number], done: [], placedTaken: [], placedDone: [] };
    if (by === "report") r.outside.tell(callReport, ["h1"], news);
    else r.outside.send(kept?.reply ?? "", encode({ refused: "duplicate", reason: "taken", taken: { host: "h2", epoch: "e" } }));
    await r.clock.advance(LIMITS.hostSilence.value - 500);
    t.is(sent.replies.length, 0);
    await r.clock.advance(1_000);
    t.regex(sent.reply.body, /^InstanceLost: host h2/);
    t.is(r.toKeeper.length, 1);
    t.is(r.asked.length, 1);
  });
}

test("a keeper's word that a call was taken by a life of a host that is over ends that call, and no other", async (t) => {
  const r = await rig(t, { pools: [{ runtime: "node", memoryMb: 1_024, warm: 2 }] }, { caller });
  r.withPlacing();
  const late = r.call("caller", "warm", "other", { timeoutMs: 10_000 });
  await r.clock.settle();
  const fresh = r.call("caller", "own", "other", { timeoutMs: 10_000 });
  await r.clock.advance(100);
  const [before, after] = r.toKeeper;
  // h2 took the first, died before it said so, came again and took the second.
  const news = { from: "h2", epoch: "second", done: [], placedTaken: [], placedDone: [] };
  r.outside.tell(callReport, ["h1"], { ...news, taken: [after?.head.number ?? 0] });
  await r.clock.settle();
  r.outside.send(before?.reply ?? "", encode({ refused: "duplicate", reason: "taken", taken: { host: "h2", epoch: "first" } }));
  await r.clock.settle();
  t.regex(late.reply.body, /^InstanceLost: host h2/);
  t.is(fresh.replies.length, 0);
  r.outside.send(inboxOf(after), bytesOf("answer"));
  await r.clock.settle();
  t.is(fresh.reply.body, "ok answer");
});

test("a nested call that is told to be done, and whose answer does not come, ends as InstanceLost; one whose answer comes late is answered", async (t) => {
  for (const isLate of [false, true]) {
    const r = await rig(t, {}, { caller });
    r.withPlacing();
    const sent = r.call("caller", "warm", "other", { timeoutMs: 10_000 });
    await r.clock.settle();
    const [kept] = r.toKeeper;
    const number = kept?.head.number ?? 0;
    const news = { from: "h2", epoch: "e", placedTaken: [], placedDone: [] };
    r.outside.tell(callReport, ["h1"], { ...news, taken: [number], done: [] });
    r.outside.tell(callReport, ["h1"], { ...news, taken: [], done: [number] });
    await r.clock.advance(2_500);
    t.is(sent.replies.length, 0);
    if (isLate) r.outside.send(parseBackSubject(kept?.reply ?? "")?.reply ?? "", bytesOf("late"));
    await r.clock.advance(1_000);
    t.regex(sent.reply.body, isLate ? /late/ : /^InstanceLost: the call has run, and its answer was lost/);
  }
});

test("a nested call that is told to be done while its answer cannot come waits until the connection is back", async (t) => {
  const r = await rig(t, {}, { caller });
  r.withPlacing();
  const sent = r.call("caller", "warm", "other", { timeoutMs: 60_000 });
  await r.clock.settle();
  const [kept] = r.toKeeper;
  const news = { from: "h2", epoch: "e", taken: [kept?.head.number ?? 0], placedTaken: [], placedDone: [] };
  r.outside.tell(callReport, ["h1"], { ...news, done: [kept?.head.number ?? 0] });
  await r.clock.settle();
  r.bus.disconnect();
  await r.clock.advance(4_000);
  r.bus.reconnect();
  await r.clock.advance(500);
  r.outside.send(parseBackSubject(kept?.reply ?? "")?.reply ?? "", bytesOf("late"));
  await r.clock.advance(100);
  t.regex(sent.reply.body, /late/);
});

test("a nested call that its own caller does not wait for is placed all the same, and a host that drains waits for it", async (t) => {
  const forgets: FakeProgram = {
    run: (_, context) => {
      void context.call("other", bytesOf("payload")).catch(() => undefined);
      return bytesOf("gone on");
    },
  };
  const r = await rig(t, {}, { forgets });
  r.withPlacing();
  r.answering = false;
  const sent = r.call("forgets", "warm", "");
  await r.clock.settle();
  t.is(sent.reply.body, "gone on");
  let drained = false;
  void r.host.drain().then(() => (drained = true));
  await r.clock.advance(LIMITS.drainAnnounced.value + 100);
  t.false(drained);
  r.answer();
  await r.clock.settle();
  t.is(r.toKeeper[0]?.body, "payload");
  await r.clock.advance(300);
  t.false(drained);
  const number = r.toKeeper[0]?.head.number ?? 0;
  r.outside.tell(callReport, ["h1"], { from: "h2", epoch: "e", taken: [number], done: [], placedTaken: [], placedDone: [] });
  await r.clock.advance(500);
  t.true(drained);
});

test("frontends of a release that knows no questions get the whole call", async (t) => {
  const r = await rig(t, {}, { caller });
  r.withPlacing();
  r.answering = false;
  const sent = r.call("caller", "warm", "other.live");
  await r.clock.settle();
  const refuses = parseBackSubject(r.asked[0]?.back ?? "")?.reply ?? "";
  r.outside.send(refuses, bytesOf("{}"), "", { "Pilot-Error": "BadRequest", "Nats-Service-Error": "waitedMs is missing" });
  await r.clock.settle();
  const [handed] = r.toDesk;
  t.is(handed?.handed.qualifier, "live");
  t.deepEqual(handed?.handed.chain, ["main.caller"]);
  t.is(handed?.body, "payload");
  r.outside.send(parseBackSubject(handed?.reply ?? "")?.reply ?? "", bytesOf("answer"));
  await r.clock.settle();
  t.is(sent.reply.body, "ok answer");
  t.is(r.toKeeper.length, 0);
});

test("a chain that is too deep, and a call that would wait for a cap its own ancestors fill, are refused at once", async (t) => {
  const r = await rig(t, { pools: [{ runtime: "node", memoryMb: 1_024, warm: 1 }] }, { caller });
  r.withDesk();
  const deep = r.call("caller", "warm", "other", { chain: Array.from({ length: LIMITS.chainDepth.value }, () => "main.x") });
  await r.clock.settle();
  t.regex(deep.reply.body, /^ChainTooDeep/);
  t.is(r.counter("limit.chainDepth"), 1);
  const itself = r.call("caller", "hot", "caller", { containers: 1 });
  await r.clock.settle();
  t.regex(itself.reply.body, /^Throttled: .*wait for itself/);
  t.is(r.toDesk.length, 0);
});

test("names that are no functions, and accounts that are not the function's, cannot be called", async (t) => {
  const r = await rig(t, {}, { caller });
  r.withDesk();
  let rung: "warm" | "hot" = "warm";
  for (const name of ["*", ">", "a.b.c", "Ö", "", "a b", "x".repeat(64), "a.*"]) {
    const sent = r.call("caller", rung, name);
    await r.clock.settle();
    t.regex(sent.reply.body, /^BadName/, name);
    rung = "hot";
  }
  t.is(r.toDesk.length, 0);
});

test("publish goes below the account's own tree, and a subject with wildcards, spaces or empty words is refused", async (t) => {
  const r = await rig(t, {}, { publisher: tries((context, body) => context.publish(body, bytesOf("news"))) });
  const seen: string[] = [];
  r.broker.tap(({ subject, body }) => {
    if (subject.startsWith("pilot.pub.")) seen.push(`${subject} ${text(body)}`);
  });
  let rung: "warm" | "hot" = "warm";
  for (const subject of ["orders.new", "*", "a.>", "a..b", ".a", "a.", "a b", "", "x".repeat(257), "a\r\nPUB x"]) {
    const sent = r.call("publisher", rung, subject);
    await r.clock.settle();
    t.regex(sent.reply.body, subject === "orders.new" ? /^ok/ : /^BadRequest/, subject);
    rung = "hot";
  }
  t.deepEqual(seen, ["pilot.pub.main.orders.new news"]);
  t.deepEqual(r.bus.caught, []);
});

test("kv keeps, gives and forgets values of the account; keys that are none are refused", async (t) => {
  const r = await rig(
    t,
    {},
    {
      keeps: tries(async (context, key) => {
        const before = await context.kv.get(key);
        await context.kv.put(key, bytesOf("1"));
        const after = text(await context.kv.get(key));
        await context.kv.delete(key);
        return `${String(before)} ${after}`;
      }),
      leaves: tries((context, key) => context.kv.put(key, bytesOf("mine"))),
    },
  );
  const sent = r.call("keeps", "warm", "a/b.c");
  await r.clock.settle();
  t.is(sent.reply.body, "ok undefined 1");
  await r.clock.advance(50);
  for (const key of ["", "a b", "../x", ".a", "a..b", "*", "ü", "x".repeat(257)]) {
    const bad = r.call("keeps", "hot", key);
    await r.clock.settle();
    t.regex(bad.reply.body, /^BadRequest/, key);
  }
  r.call("leaves", "own", "k", {}, r.active[0]?.id);
  await r.clock.advance(50);
  t.deepEqual([...r.data.keys()], ["main/k"]);
});

test("requests are bounded per container, and those of a finished call are refused", async (t) => {
  const outcomes: string[] = [];
  const r = await rig(
    t,
    {},
    {
      floods: {
        run: async (_, context) => {
          for (let index = 0; index < LIMITS.requestsInFlight.value + 5; index++) {
            context.call("other").catch((error: Error) => outcomes.push(error.name));
          }
          await context.sleep(10);
          return null;
        },
      },
      late: {
        run: (_, context) => {
          void context.sleep(50).then(() => context.publish("late").catch((error: Error) => outcomes.push(error.name)));
          return null;
        },
      },
    },
  );
  r.outside.listen("_pilot.desk", { queue: "frontends" }, () => undefined);
  r.call("floods", "warm");
  await r.clock.advance(50);
  t.deepEqual(
    outcomes,
    Array.from({ length: 5 }, () => "Throttled"),
  );
  outcomes.length = 0;
  r.call("late", "own", "", {}, r.active[0]?.id);
  await r.clock.advance(100);
  t.deepEqual(outcomes, ["BadRequest"]);
  t.is(r.counter("requests.late"), 1);
});

test("a request frame that is garbage is answered, and hurts nobody", async (t) => {
  const none = new Uint8Array(0);
  const r = await rig(
    t,
    {},
    {
      garbage: {
        run: (_, context) => {
          for (const extra of ["", "{", "null", "[]", '{"kind":"kv.get","call":1}', '{"kind":"boom","call":1}'])
            context.sendFrame(22, 0, 1, bytesOf(extra), none);
          return null;
        },
      },
    },
  );
  const sent = r.call("garbage", "warm");
  await r.clock.settle();
  t.is(sent.reply.error, undefined);
  t.is(sent.replies.length, 1);
});

test("F099 output becomes log lines tied to the call, and what is over the bound of a call is dropped with one line that says so", async (t) => {
  const r = await rig(
    t,
    {},
    {
      talks: {
        run: (body, context) => {
          context.log("one\ntwo\n");
          context.log("oops", "stderr");
          for (let left = Number(text(body)); left > 0; left -= 32_768) context.log("x".repeat(32_768));
          return null;
        },
      },
    },
  );
  const sent = r.call("talks", "warm", "0");
  await r.clock.advance(100);
  const lines = r.logs.flatMap((logs) => logs.lines);
  t.deepEqual(
    lines.map(({ stream, text: line, call }) => [stream, line, call]),
    [
      ["stdout", "one", sent.id],
      ["stdout", "two", sent.id],
      ["stderr", "oops", sent.id],
    ],
  );
  r.logs.length = 0;
  await r.clock.advance(1_000);
  r.call("talks", "hot", String(LIMITS.logPerCall.value * 2));
  await r.clock.advance(100);
  const more = r.logs.flatMap((logs) => logs.lines);
  t.is(more.filter(({ stream }) => stream === "platform").length, 1);
  t.true(more.every(({ text: line }) => line.length <= LIMITS.logLine.value));
  t.true(more.reduce((sum, line) => sum + line.text.length, 0) <= LIMITS.logPerCall.value + 1_024);
  // The host's own rate was not at its limit.
  t.is(r.counter("logs.dropped"), 0);
  t.true(r.counter("limit.logPerCall") > 0);
});

test("orders arrive in one piece whatever their body: a body of the limit is passed through untouched", async (t) => {
  const r = await rig(t);
  const body = new Uint8Array(100_000).map((_, index) => index % 251);
  const head = r.head("echo");
  const sent = r.order(head);
  await r.clock.advance(50);
  t.is(sent.reply.body, "");
  const again = r.head("echo", { place: { rung: "hot", by: "frontend" } });
  const expected = r.call("echo", "hot", "");
  r.outside.send("_pilot.host.h1", joinHead(again, body), `_pilot.back.f1.9999.1._INBOX.c.${Number(expected.id.replace(/^0+call/, ""))}`);
  await r.clock.settle();
  t.true(expected.replies.some(({ bytes }) => bytes.length === body.length && bytes.every((byte, index) => byte === body[index])));
});

test("a container that floods its host with requests it may not send, and reads no answer, is ended", async (t) => {
  const none = new Uint8Array(0);
  const r = await rig(
    t,
    {},
    {
      floods: {
        run: (_, context) => {
          for (let index = 0; index < 20_000; index++) context.sendFrame(22, 0, index, bytesOf("{"), none);
          return new Promise(() => undefined);
        },
      },
    },
  );
  const sent = r.call("floods", "warm", "", { timeoutMs: 60_000 });
  await r.clock.settle();
  t.is(sent.reply.error, "Crashed");
  t.regex(sent.reply.message, /does not read/);
});
