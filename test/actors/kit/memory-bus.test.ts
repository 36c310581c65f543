import test from "ava";
import fc from "fast-check";
import Type from "typebox";
import type { Message } from "../../../actors/kit/bus.ts";
import { event, request, Strict } from "../../../protocol/contract.ts";
import { Fault } from "../../../protocol/errors.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { MemoryBroker, subjectMatches } from "../../support/memory-broker.ts";
import { MemoryBus } from "../../support/memory-bus.ts";

const add = request({
  name: "add",
  subject: (node: string) => `_pilot.node.${node}.add`,
  request: Strict({ a: Type.Number(), b: Type.Number() }),
  reply: Type.Object({ sum: Type.Number() }),
  timeoutMs: 1_000,
  meaning: "adds",
});
const beat = event({
  name: "beat",
  subject: (node: string) => `_pilot.beat.${node}`,
  body: Type.Object({ at: Type.Number() }),
  meaning: "beats",
});

function start(...names: string[]) {
  const clock = new ManualClock();
  const broker = new MemoryBroker(clock);
  return { clock, broker, buses: names.map((name) => new MemoryBus(broker, name)) as [MemoryBus, MemoryBus, MemoryBus, MemoryBus] };
}
const bytes = (text: string) => new TextEncoder().encode(text);
const text = (message: Message) => new TextDecoder().decode(message.body);

test("subjects match as NATS matches them", (t) => {
  for (const [pattern, subject, expected] of [
    ["a.b", "a.b", true],
    ["a.b", "a.b.c", false],
    ["a.b.c", "a.b", false],
    ["a.*", "a.b", true],
    ["a.*", "a", false],
    ["a.*", "a.b.c", false],
    ["*.b", "a.b", true],
    ["a.>", "a.b.c", true],
    ["a.>", "a", false],
    [">", "a", true],
    ["a.*.>", "a.b", false],
    ["a.*.>", "a.b.c", true],
  ] as const) {
    t.is(subjectMatches(pattern, subject), expected, `${pattern} ${subject}`);
  }
});

test("a request is answered, refused by schema, refused by a Fault, and by a bug", async (t) => {
  const { clock, buses } = start("a", "b");
  const [a, b] = buses;
  b.serve(add, ["b"], ({ a, b }) => {
    if (a < 0) throw new Fault("NotAllowed", "negative");
    if (a === 13) throw new TypeError("bug");
    return { sum: a + b };
  });
  t.deepEqual(await a.ask(add, ["b"], { a: 1, b: 2 }), { sum: 3 });
  await t.throwsAsync(a.ask(add, ["b"], { a: -1, b: 2 }), { name: "NotAllowed", message: "negative" });
  await t.throwsAsync(a.ask(add, ["b"], { a: 13, b: 2 }), { name: "Internal" });
  await t.throwsAsync(a.ask(add, ["b"], { a: 1, b: 2, c: 3 } as never), { name: "BadRequest" });
  await t.throwsAsync(a.ask(add, ["nobody"], { a: 1, b: 2 }), { name: "Unavailable" });
  t.is(b.caught.length, 1);
  t.is(clock.pending, 0, "no timer is left");
});

test("an unanswered request ends in Unavailable at its time limit, not before", async (t) => {
  const { clock, buses } = start("a", "b");
  const [a, b] = buses;
  b.serve(add, ["b"], () => new Promise(() => undefined));
  let ended: unknown;
  a.ask(add, ["b"], { a: 1, b: 2 }).catch((thrown: unknown) => {
    ended = thrown;
  });
  await clock.advance(999);
  t.is(ended, undefined);
  await clock.advance(1);
  t.true(ended instanceof Fault && ended.name === "Unavailable");
});

test("each message goes to every plain listener and one of each queue group, and all members get their share", async (t) => {
  const { clock, buses } = start("a", "b", "c", "d");
  const [a, b, c, d] = buses;
  const got: Record<string, number> = { b: 0, c: 0, d: 0 };
  const count = (name: string) => () => {
    got[name] = (got[name] ?? 0) + 1;
  };
  b.listen("x.>", { queue: "desk" }, count("b"));
  c.listen("x.y", { queue: "desk" }, count("c"));
  d.listen("x.*", {}, count("d"));
  for (let n = 0; n < 300; n++) a.send("x.y", bytes(""));
  await clock.settle();
  t.is(got["d"], 300);
  t.is((got["b"] ?? 0) + (got["c"] ?? 0), 300);
  t.true((got["b"] ?? 0) > 100 && (got["c"] ?? 0) > 100);
});

test("no responders comes only to a publisher that listens to the reply subject, without a queue", async (t) => {
  const { clock, buses } = start("a", "b");
  const [a, b] = buses;
  const seen: string[] = [];
  const note = (name: string) => (message: Message) => {
    seen.push(`${name} ${message.subject} ${message.status} ${message.hasHeaders}`);
  };
  a.listen("back.a.>", {}, note("a"));
  a.listen("queue.a", { queue: "q" }, note("queue"));
  b.listen("back.b", {}, note("b"));
  a.send("nobody", bytes("1"), "back.a.7._INBOX.x");
  a.send("nobody", bytes("2"), "back.b");
  a.send("nobody", bytes("3"), "queue.a");
  a.send("nobody", bytes("4"));
  await clock.settle();
  t.deepEqual(seen, ["a back.a.7._INBOX.x 503 true"]);
});

test("headers and bytes arrive as they were sent, and the sender's later writes do not", async (t) => {
  const { clock, buses } = start("a", "b");
  const [a, b] = buses;
  const seen: unknown[] = [];
  b.listen("x", {}, (message) =>
    seen.push([text(message), message.header("Pilot-Trace"), message.headerNames(), message.hasHeaders, message.reply]),
  );
  const body = bytes("hello");
  a.send("x", body, "r", { "Pilot-Trace": "1" });
  a.send("x", body);
  body.fill(0);
  await clock.settle();
  t.deepEqual(seen, [
    ["hello", "1", ["Pilot-Trace"], true, "r"],
    ["hello", undefined, [], false, ""],
  ]);
});

test("a listener that throws goes on listening, and an event of the wrong form is only counted", async (t) => {
  const { clock, buses } = start("a", "b");
  const [a, b] = buses;
  const heard: number[] = [];
  b.hear(beat, ["*"], ({ at }) => {
    heard.push(at);
    if (at === 1) throw new Error("once");
  });
  a.tell(beat, ["a"], { at: 1 });
  a.send("_pilot.beat.a", bytes("garbage"));
  a.tell(beat, ["a"], { at: 2 });
  await clock.settle();
  t.deepEqual(heard, [1, 2]);
  t.is(b.caught.length, 2);
});

test("stop delivers what was sent before it and nothing after", async (t) => {
  const { clock, buses } = start("a", "b");
  const [a, b] = buses;
  const seen: string[] = [];
  const subscription = b.listen("x", {}, (message) => seen.push(text(message)));
  a.send("x", bytes("before"));
  const stopped = subscription.stop();
  await stopped;
  a.send("x", bytes("after"));
  await clock.settle();
  t.deepEqual(seen, ["before"]);
});

test("a cut connection loses what is on the wire and has its subscriptions back when it is back", async (t) => {
  const { clock, broker, buses } = start("a", "b");
  const [a, b] = buses;
  const seen: string[] = [];
  b.listen("x", {}, (message) => seen.push(text(message)));
  a.send("x", bytes("lost"));
  b.disconnect();
  t.is(broker.interest("x"), 0);
  a.send("x", bytes("lost too"));
  b.send("x", bytes("dropped"));
  await clock.settle();
  t.false(b.connected);
  b.reconnect();
  a.send("x", bytes("heard"));
  await clock.settle();
  t.deepEqual(seen, ["heard"]);
});

test("a hung process gets what piled up when it thaws", async (t) => {
  const { clock, buses } = start("a", "b");
  const [a, b] = buses;
  const seen: string[] = [];
  b.listen("x", {}, (message) => seen.push(text(message)));
  b.hang();
  a.send("x", bytes("1"));
  a.send("x", bytes("2"));
  await clock.settle();
  t.deepEqual(seen, []);
  b.thaw();
  await clock.settle();
  t.deepEqual(seen, ["1", "2"]);
});

test("a fault drops or delays the messages it names", async (t) => {
  const { clock, broker, buses } = start("a", "b");
  const [a, b] = buses;
  const seen: string[] = [];
  b.listen("x", {}, (message) => seen.push(`${text(message)}@${clock.now()}`));
  broker.fault = (packet) => (packet.body[0] === 49 ? "drop" : packet.body[0] === 50 ? 30 : undefined);
  for (const body of ["1", "2", "3"]) a.send("x", bytes(body));
  await clock.advance(100);
  t.deepEqual(seen, ["3@0", "2@30"]);
});

test("messages of one sender on one subject arrive in order, whatever else is sent", async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fc.nat(2), fc.constantFrom("x.a", "x.b")), { maxLength: 50 }), async (sends) => {
      const { clock, buses } = start("a", "b", "c", "d");
      const seen: string[] = [];
      buses[3].listen("x.*", {}, (message) => seen.push(text(message)));
      for (const [at, [from, subject]] of sends.entries()) buses[from as 0].send(subject, bytes(`${at}`));
      await clock.settle();
      t.deepEqual(
        seen,
        sends.map((_, at) => `${at}`),
      );
    }),
    { numRuns: 30 },
  );
});
