import test from "ava";
import { joinHead } from "../../../protocol/codec.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { SUBJECT } from "../../../protocol/subjects.ts";
import { bytesOf, rig } from "./rig.ts";

test("hot without a container, an unknown instance, and a warm rung without a warm instance are refused", async (t) => {
  const r = await rig(t, { pools: [] });
  const hot = r.call("echo", "hot");
  const own = r.call("echo", "own", "", {}, "nowhere");
  const warm = r.call("echo", "warm");
  await r.clock.settle();
  t.is(hot.refused, "no-container");
  t.is(own.refused, "no-instance");
  t.is(warm.refused, "no-instance");
});

test("what the host's memory cannot hold is refused with no-capacity, and nothing is promised for it", async (t) => {
  const r = await rig(t, { pools: [], memoryMb: 400 });
  const first = r.call("echo", "cold", "1", { memoryMb: 300 });
  await r.clock.settle();
  const second = r.call("sleep", "cold", "1", { memoryMb: 300 });
  await r.clock.advance(100);
  t.is(first.reply.error, undefined);
  t.is(second.refused, "no-capacity");
  t.true(r.host.describe().usedMb <= 400);
});

test("a call that was taken here before is refused as a duplicate, and runs once", async (t) => {
  const r = await rig(t);
  const head = r.head("echo");
  const sent = r.order(head, "1");
  await r.clock.settle();
  r.order({ ...head, attempt: 2 }, "1", SUBJECT.back("k1", 99, 2, "_INBOX.c.again"));
  await r.clock.settle();
  t.is(sent.replies.length, 1);
  t.is(r.counter("refused.duplicate"), 1);
  t.is(
    r.sandbox.containers.reduce((sum, container) => sum + container.calls, 0),
    1,
  );
});

test("two orders of one call while its version is being looked up run it once", async (t) => {
  const r = await rig(t, { pools: [{ runtime: "node", memoryMb: 1_024, warm: 2 }] });
  const head = r.head("echo");
  r.order(head, "1");
  r.order(head, "1");
  await r.clock.settle();
  t.is(r.counter("refused.duplicate"), 1);
  t.is(
    r.sandbox.containers.reduce((sum, container) => sum + container.calls, 0),
    1,
  );
});

test("an order without a back subject is dropped, one with a hostile inbox behind it is refused and never answered there", async (t) => {
  const r = await rig(t);
  const seen: string[] = [];
  r.broker.tap((packet) => {
    if (packet.from === "h1") seen.push(packet.subject);
  });
  r.outside.send(SUBJECT.host("h1"), joinHead(r.head("echo"), bytesOf("x")));
  r.outside.send(SUBJECT.host("h1"), joinHead(r.head("echo"), bytesOf("x")), "_INBOX.c.bare");
  for (const inbox of ["_pilot.host.h1", "pilot.fn.main.echo", `_INBOX.${"x".repeat(300)}`, "_pilot.agent.h2.recall"]) {
    r.order(r.head("echo"), "x", SUBJECT.back("k1", 500, 1, inbox));
  }
  await r.clock.settle();
  t.is(r.counter("orders.badReply"), 2);
  t.is(r.counter("orders.badInbox"), 4);
  t.true(seen.every((subject) => subject.startsWith("_pilot.back.k1.500.")));
});

test("an answer to one of our own nodes' inboxes is sent", async (t) => {
  const r = await rig(t);
  const seen: string[] = [];
  r.broker.tap((packet) => seen.push(packet.subject));
  r.order(r.head("echo"), "x", SUBJECT.back("k1", 500, 1, "_pilot.inbox.operator.me.7"));
  await r.clock.settle();
  t.true(seen.includes("_pilot.inbox.operator.me.7"));
});

test("garbage and half heads are refused as malformed, and the next call works", async (t) => {
  const r = await rig(t);
  for (const bytes of [
    new Uint8Array(0),
    new Uint8Array([255, 255, 1]),
    joinHead({ call: 7 }, bytesOf("x")),
    joinHead("text", bytesOf("x")),
  ]) {
    r.outside.send(SUBJECT.host("h1"), bytes, SUBJECT.back("k1", 500, 1, "_INBOX.c.x"));
  }
  await r.clock.settle();
  t.is(r.counter("refused.malformed"), 4);
  const sent = r.call("echo", "warm", "fine");
  await r.clock.settle();
  t.is(sent.reply.body, "fine");
});

test("calls wait in the order they came, each gets the next free container, and the queue is bounded", async (t) => {
  const done: string[] = [];
  const r = await rig(
    t,
    {},
    {
      note: {
        async run(body, context) {
          await context.sleep(1);
          done.push(new TextDecoder().decode(body));
          return null;
        },
      },
    },
  );
  r.call("note", "warm", "0");
  await r.clock.settle();
  const sent = Array.from({ length: LIMITS.hostQueue.value + 1 }, (_, index) =>
    r.call("note", "hot", String(index + 1), { waitMs: 100_000 }),
  );
  await r.clock.settle();
  t.is(sent.at(-1)?.refused, "queue-full");
  await r.clock.advance(LIMITS.hostQueue.value + 10);
  t.deepEqual(
    done,
    Array.from({ length: LIMITS.hostQueue.value + 1 }, (_, index) => String(index)),
  );
});

test("a call that waits too long for a container is answered Throttled and never run", async (t) => {
  const r = await rig(t);
  r.call("sleep", "warm", "900");
  await r.clock.settle();
  const sent = r.call("sleep", "hot", "1", { waitMs: 100 });
  await r.clock.advance(LIMITS.hostTick.value * 2);
  t.is(sent.reply.error, "Throttled");
  t.truthy(sent.reply.header("Pilot-Retry-After"));
  await r.clock.advance(1_000);
  t.is(sent.replies.length, 1);
});

test("without a trace the reply is the bare body with no header, and inline code runs under its digest", async (t) => {
  const r = await rig(t);
  const version = r.call("echo", "warm", "a", { trace: false });
  await r.clock.settle();
  t.is(version.reply.header("Pilot-Call"), undefined);
  const digest = r.downloads[0] ?? "";
  const inline = r.call("inline", "own", "b", { version: 0, inline: { digest, runtime: "node", handler: "handler" } }, r.active[0]?.id);
  await r.clock.advance(50);
  t.is(inline.reply.body, "b");
  t.true((await r.announced()).instances.some(({ slots }) => slots.some(({ key }) => key === `main.inline.${digest}@128`)));
});

test("a traced reply says everything of its placement, and its record is found by its id", async (t) => {
  const r = await rig(t);
  const sent = r.call("echo", "warm", "abc");
  await r.clock.advance(100);
  const { reply } = sent;
  t.is(reply.header("Pilot-Call"), sent.id);
  t.is(reply.header("Pilot-Path"), "keeper");
  t.is(reply.header("Pilot-Host"), "h1");
  t.is(reply.header("Pilot-Version"), "1");
  t.is(reply.header("Pilot-Memory"), "128");
  t.is(reply.header("Pilot-Attempt"), "1");
  t.regex(reply.header("Pilot-Times") ?? "", /^[\d.]+;[\d.]+;[\d.]+$/);
  const [record] = r.records;
  t.is(record?.id, sent.id);
  t.is(record?.bytesIn, 3);
  t.is(record?.rung, "warm");
  t.is(typeof record?.memoryPeakBytes, "number");
});

test("taken and done are reported to owner and placer by their own numbers, after an announcement that shows it", async (t) => {
  const r = await rig(t);
  const order: string[] = [];
  r.broker.tap((packet) => {
    if (packet.from === "h1-control") order.push(packet.subject);
  });
  const head = r.head("sleep");
  r.order(head, "100");
  await r.clock.settle();
  t.deepEqual(
    r.reports.map(({ to, taken, placedTaken }) => ({ to, taken, placedTaken })),
    [
      { to: "f1", taken: [head.number], placedTaken: [] },
      { to: "k1", taken: [], placedTaken: [head.number] },
    ],
  );
  t.is(order[0], "_pilot.announce.host.h1");
  await r.clock.advance(150);
  t.true(r.reports.some(({ to, done }) => to === "f1" && done.includes(head.number)));
  t.true(r.reports.some(({ to, placedDone }) => to === "k1" && placedDone.includes(head.number)));
});

test("what a frontend placed is reported as taken at once and as done within the time of a batch, once to a node that owns and placed it", async (t) => {
  const r = await rig(t);
  r.call("echo", "warm");
  await r.clock.advance(50);
  r.reports.length = 0;
  const head = r.head("echo", { place: { rung: "hot", by: "frontend" } });
  r.order(head, "x");
  await r.clock.settle();
  t.deepEqual(r.reports[0]?.taken, [head.number]);
  await r.clock.advance(LIMITS.announceEvery.value);
  t.deepEqual(
    r.reports.flatMap(({ taken }) => taken),
    [head.number],
  );
  t.deepEqual(
    r.reports.flatMap(({ done }) => done),
    [head.number],
  );
  t.deepEqual(
    r.reports.flatMap(({ placedTaken }) => placedTaken),
    [],
  );
});

test("F025 a hot order that finds every container busy is refused when a new container would be sooner, unless it says to queue", async (t) => {
  const r = await rig(t);
  r.call("sleep", "warm", "500");
  await r.clock.advance(100);
  const hot = { rung: "hot", by: "frontend" } as const;
  const hasty = r.order(r.head("sleep", { place: hot }), "1");
  const patient = r.order(r.head("sleep", { place: { ...hot, queue: true } }), "1");
  const capped = r.order(r.head("sleep", { place: hot, containers: 1 }), "1");
  await r.clock.settle();
  t.is(hasty.refused, "no-container");
  t.deepEqual([patient.refusals, capped.refusals], [[], []]);
  await r.clock.advance(1_000);
  t.deepEqual([patient.reply.error, capped.reply.error], [undefined, undefined]);
});
