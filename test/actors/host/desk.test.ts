import test from "ava";
import { rendezvous } from "../../../actors/kit/rendezvous.ts";
import { timeOfCall } from "../../../protocol/call-id.ts";
import { encode } from "../../../protocol/codec.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { callReport } from "../../../protocol/messages/call.ts";
import { hostAnnouncement, nodeAnnouncement } from "../../../protocol/messages/host.ts";
import { SUBJECT } from "../../../protocol/subjects.ts";
import { bytesOf, type Rig, rig } from "./rig.ts";

async function ready(r: Rig, name: string, body: string): Promise<void> {
  r.call(name, "warm", body);
  await r.clock.advance(200);
}

test("with a grant the host answers the public subject itself: the bare body, no header, no message to anybody else", async (t) => {
  const r = await rig(t);
  await ready(r, "echo", "x");
  t.deepEqual(await r.grant("echo"), []);
  const subjects: string[] = [];
  r.broker.tap((packet) => subjects.push(packet.subject));
  const sent = r.direct("echo", "hello");
  await r.clock.settle();
  t.is(sent.reply.body, "hello");
  t.is(sent.reply.header("Pilot-Call"), undefined);
  t.deepEqual(subjects.slice(0, 2), ["pilot.fn.main.echo", "_INBOX.d.2"]);
  t.is(r.host.describe().functions.find(({ function: name }) => name === "echo")?.direct, 1);
});

test("the id of a direct call is a call id of its time, and the container is told the same one as the trace", async (t) => {
  const r = await rig(t, {}, { who: { run: (_, context) => bytesOf(`${context.callId} ${context.deadline}`) } });
  await ready(r, "who", "");
  await r.grant("who");
  const ids = new Set<string>();
  for (let index = 0; index < 100; index++) {
    const sent = r.direct("who", "", { "Pilot-Trace": "1" });
    await r.clock.settle();
    const [id = "", deadline] = sent.reply.body.split(" ");
    t.is(sent.reply.header("Pilot-Call"), id);
    t.is(timeOfCall(id), Math.floor(r.clock.epoch()));
    t.is(Number(deadline), r.clock.epoch() + 1_000);
    ids.add(id);
  }
  t.is(ids.size, 100);
});

test("trace, deadline and traceparent are honoured at once; any other Pilot- header, or a strange value, goes to a frontend", async (t) => {
  const r = await rig(t);
  r.withDesk();
  await ready(r, "echo", "x");
  await r.grant("echo");
  const traced = r.direct("echo", "1", { "Pilot-Trace": "1", "Pilot-Deadline": "100", traceparent: "00-a-b-01", "X-Other": "y" });
  await r.clock.settle();
  t.is(traced.reply.header("Pilot-Path"), "direct");
  t.is(traced.reply.header("traceparent"), "00-a-b-01");
  t.is(traced.reply.header("Pilot-Class"), "busy");
  for (const headers of [{ "Pilot-Memory": "256" }, { "pilot-anything": "1" }, { "Pilot-Trace": "yes" }, { "Pilot-Deadline": "-1" }]) {
    r.direct("echo", "2", headers);
  }
  await r.clock.settle();
  t.deepEqual(
    r.toDesk.map(({ handed, body }) => [handed.function, handed.headers, body]),
    [
      ["echo", { "Pilot-Memory": "256" }, "2"],
      ["echo", { "pilot-anything": "1" }, "2"],
      ["echo", { "Pilot-Trace": "yes" }, "2"],
      ["echo", { "Pilot-Deadline": "-1" }, "2"],
    ],
  );
  t.regex(r.toDesk[0]?.reply ?? "", /^_pilot\.back\.h1\.\d+\.1\._INBOX\./);
});

test("a call that asks for a frontend when there is none is answered Unavailable", async (t) => {
  const r = await rig(t);
  await ready(r, "echo", "x");
  await r.grant("echo");
  const sent = r.direct("echo", "1", { "Pilot-Memory": "256" });
  await r.clock.settle();
  t.is(sent.reply.error, "Unavailable");
});

test("a direct call with a reply subject that may not be answered is dropped and counted", async (t) => {
  const r = await rig(t);
  await ready(r, "echo", "x");
  await r.grant("echo");
  const seen: string[] = [];
  r.broker.tap((packet) => {
    if (packet.from === "h1") seen.push(packet.subject);
  });
  for (const reply of ["_pilot.agent.h1.recall", "pilot.fn.main.echo", `_INBOX.${"x".repeat(4_096)}`, "_pilot.inbox.host.h2.1"])
    r.direct("echo", "x", undefined, reply);
  r.outside.send(SUBJECT.fn("main", "echo"), bytesOf("no reply"));
  await r.clock.settle();
  t.is(r.counter("direct.badReply"), 5);
  t.deepEqual(seen, []);
});

test("F025 where waiting is short a direct call waits for the container, and is hot", async (t) => {
  const r = await rig(t);
  r.withKeeper();
  await ready(r, "sleep", "1");
  await r.grant("sleep");
  r.direct("sleep", "1");
  const second = r.direct("sleep", "1", { "Pilot-Trace": "1" });
  await r.clock.advance(20);
  t.is(second.reply.header("Pilot-Rung"), "hot");
  t.is(r.toKeeper.length, 0);
});

test("F025 where waiting is long a direct call is handed to the keeper with everything it needs, and held until it is taken", async (t) => {
  const r = await rig(t);
  r.withKeeper();
  await ready(r, "sleep", "150");
  await r.grant("sleep");
  r.direct("sleep", "150");
  r.direct("sleep", "7", { "Pilot-Trace": "1" });
  await r.clock.settle();
  const [kept] = r.toKeeper;
  t.is(kept?.body, "7");
  t.is(kept?.head.owner, "h1");
  t.is(kept?.head.version, 1);
  t.is(kept?.head.trace, true);
  t.is(kept?.head.waitMs, LIMITS.waitForPlace.value);
  t.regex(kept?.reply ?? "", /^_pilot\.back\.h1\.\d+\.1\._INBOX\.d\./);
});

test("F025 where no container may be made anywhere, a host keeps a burst of short calls", async (t) => {
  for (const full of [false, true]) {
    const r = await rig(t);
    r.withKeeper();
    await ready(r, "sleep", "0.4");
    await r.grant("sleep", { containers: 4, full });
    const calls = Array.from({ length: 30 }, () => r.direct("sleep", "0.4"));
    await r.clock.settle();
    t.is(r.toKeeper.length > 0, !full);
    if (full) {
      await r.clock.advance(LIMITS.announceEvery.value);
      t.true(calls.every(({ reply }) => reply.body === "slept"));
    }
  }
});

test("what a host tells to wait there are all calls that have not begun, also those that stand ahead in a busy container", async (t) => {
  const r = await rig(t);
  await ready(r, "sleep", "0.4");
  await r.grant("sleep", { containers: 1 });
  r.announcements.length = 0;
  for (let call = 0; call < 100; call++) r.direct("sleep", "0.4");
  await r.clock.advance(LIMITS.announceEvery.value + 1);
  const told = r.announcements.flatMap(({ functions }) => functions).find(({ function: name }) => name === "sleep");
  const ended = (told?.calls ?? 0) - 1;
  t.true(ended > 0 && ended < 90);
  t.is(told?.queued, 100 - ended - 1);
});

test("a call that the keeper refuses, or that finds no keeper, goes to the frontends once, else is Unavailable", async (t) => {
  const r = await rig(t);
  await ready(r, "sleep", "150");
  await r.grant("sleep");
  r.direct("sleep", "150");
  const lost = r.direct("sleep", "7");
  await r.clock.settle();
  t.is(lost.reply.error, "Unavailable");
  r.withKeeper();
  r.withDesk();
  const refused = r.direct("sleep", "8");
  await r.clock.settle();
  r.outside.send(r.toKeeper[0]?.reply ?? "", encode({ refused: "draining", reason: "stopping" }));
  await r.clock.settle();
  t.is(refused.replies.length, 0);
  t.is(r.toDesk[0]?.body, "8");
  t.is(r.toDesk[0]?.handed.function, "sleep");
});

test("the owner of a handed call speaks for it when the host that took it dies", async (t) => {
  const r = await rig(t);
  r.withKeeper();
  await ready(r, "sleep", "150");
  await r.grant("sleep");
  r.direct("sleep", "150");
  const sent = r.direct("sleep", "7");
  await r.clock.settle();
  const number = r.toKeeper[0]?.head.number ?? -1;
  r.outside.tell(callReport, ["h1"], { from: "h2", epoch: "e2", taken: [number], done: [], placedTaken: [], placedDone: [] });
  await r.clock.advance(LIMITS.hostSilence.value + 500);
  t.is(sent.reply.error, "InstanceLost");
});

test("a handed call of an idempotent function whose host dies after it had run for long may wait for its new place as long as for its first", async (t) => {
  const r = await rig(t);
  r.withKeeper();
  await ready(r, "sleep", "150");
  await r.grant("sleep", { idempotent: true, timeoutMs: 60_000 });
  r.direct("sleep", "150");
  const sent = r.direct("sleep", "7");
  await r.clock.settle();
  const number = r.toKeeper[0]?.head.number ?? -1;
  const news = { from: "h2", done: [], placedTaken: [], placedDone: [] };
  r.outside.tell(callReport, ["h1"], { ...news, epoch: "first", taken: [number] });
  const h2 = { ...(await r.announced()), host: "h2", epoch: "first" };
  const alive = r.clock.every(LIMITS.nodeHeartbeat.value, () => r.outside.tell(hostAnnouncement, ["h2"], h2));
  await r.clock.advance(2 * LIMITS.waitForPlace.value);
  t.is(r.toKeeper.length, 1);
  alive.cancel();
  await r.clock.advance(LIMITS.hostSilence.value + 500);
  t.is(r.toKeeper.length, 2);
  await r.clock.advance(LIMITS.clockGap.value);
  t.deepEqual(sent.replies, []);
  t.deepEqual([r.toKeeper[1]?.head.attempt, r.toKeeper[1]?.head.waitMs], [2, r.toKeeper[0]?.head.waitMs]);
});

for (const by of ["host", "keeper"] as const) {
  test(`a handed call that its keeper had already when it got it again is placed nowhere else: a ${by} has answered or will`, async (t) => {
    const r = await rig(t);
    const dies = r.withPlacing("first");
    await ready(r, "sleep", "150");
    await r.grant("sleep");
    r.direct("sleep", "150");
    const sent = r.direct("sleep", "7");
    await r.clock.settle();
    const [kept] = r.toKeeper;
    t.is(kept?.body, "7");
    // The host declares its keeper lost, hears one of that name again, and sends the call once more.
    dies();
    r.withScheduler("second");
    await r.clock.advance(200);
    const again = r.toKeeper[1];
    t.is(again?.head.call, kept?.head.call);
    const taken = by === "host" ? { taken: { host: "h2", epoch: "e" } } : {};
    r.outside.send(again?.reply ?? "", encode({ refused: "duplicate", reason: "it was here before", ...taken }));
    await r.clock.advance(1_000);
    t.deepEqual([r.toDesk.length, r.toKeeper.length, sent.replies.length], [0, 2, 0]);
    t.is(r.counter("handed.reportLost"), 1);
    await r.clock.advance(LIMITS.hostSilence.value + LIMITS.clockGap.value);
    // It watches the host that has it; a keeper that has answered leaves nothing to say.
    t.deepEqual(
      sent.replies.map(({ error }) => error),
      by === "host" ? ["InstanceLost"] : [],
    );
    t.deepEqual([r.toDesk.length, r.toKeeper.length, r.host.held()["handed"]], [0, 2, 0]);
  });
}

test("after a recall the host has left the desk, and what still arrives or waits for the old version goes to a frontend", async (t) => {
  const r = await rig(t);
  r.withDesk();
  await ready(r, "sleep", "1");
  await r.grant("sleep", { containers: 1 });
  r.direct("sleep", "100");
  const waiting = r.direct("sleep", "100");
  await r.clock.settle();
  // On the wire when the recall comes.
  const late = r.direct("sleep", "5");
  await r.recall("sleep", 1);
  t.is(r.broker.interest(SUBJECT.fn("main", "sleep")), 0);
  await r.clock.advance(500);
  t.is(waiting.replies.length, 0);
  t.is(late.replies.length, 0);
  t.deepEqual(r.toDesk.map(({ body }) => body).sort(), ["100", "5"]);
});

test("a grant of a lower epoch than one that was seen is refused; a renewal and a higher one hold", async (t) => {
  const r = await rig(t);
  t.deepEqual(await r.grant("echo", { epoch: 5 }), []);
  t.deepEqual(await r.grant("echo", { epoch: 4 }), ["main.echo"]);
  t.deepEqual(await r.grant("echo", { epoch: 5, subscriptions: 3 }), []);
  t.is(r.broker.interest(SUBJECT.fn("main", "echo")), 3);
  await r.recall("echo", 6);
  t.deepEqual(await r.grant("echo", { epoch: 5 }), ["main.echo"]);
  t.deepEqual(await r.grant("echo", { epoch: 6 }), []);
});

test("an older recall does not end a newer grant", async (t) => {
  const r = await rig(t);
  await r.grant("echo", { epoch: 5 });
  await r.recall("echo", 4);
  t.is(r.host.describe().grants.length, 1);
});

test("a grant that is not renewed ends by the host's own clock", async (t) => {
  const r = await rig(t);
  await r.grant("echo", { lifeMs: 1_000 });
  await r.clock.advance(900);
  t.is(r.host.describe().grants.length, 1);
  await r.clock.advance(500);
  t.is(r.host.describe().grants.length, 0);
  t.is(r.broker.interest(SUBJECT.fn("main", "echo")), 0);
});

test("a new version under the grant: no call is answered by the old one any more", async (t) => {
  const r = await rig(
    t,
    {},
    {
      sleep: {
        run: (body, context) => context.sleep(Number(new TextDecoder().decode(body))).then(() => bytesOf(`v${context.load.version}`)),
      },
    },
  );
  r.withDesk();
  r.withKeeper();
  await ready(r, "sleep", "1");
  await r.grant("sleep", { epoch: 1, containers: 1 });
  r.direct("sleep", "50");
  const waiting = r.direct("sleep", "50");
  await r.clock.settle();
  r.call("sleep", "own", "1", { version: 2 }, r.active[0]?.id);
  await r.clock.advance(45);
  await r.grant("sleep", { epoch: 2, version: 2 });
  await r.clock.advance(100);
  t.is(waiting.replies.length, 0);
  t.is(r.toDesk.length, 1);
  const next = r.direct("sleep", "1");
  await r.clock.advance(20);
  t.is(next.reply.body, "v2");
});

test("a direct call older than 250 ms is reported to its keeper, and its end too", async (t) => {
  const r = await rig(t);
  await ready(r, "sleep", "1");
  await r.grant("sleep");
  r.direct("sleep", "100");
  await r.clock.advance(150);
  const long = r.direct("sleep", "600");
  await r.clock.advance(400);
  const told = r.reports.filter(({ to, long: calls }) => to === "k1" && calls !== undefined);
  t.is(told.length, 1);
  t.regex(told[0]?.long?.[0]?.reply ?? "", /^_INBOX\.d\./);
  await r.clock.advance(400);
  t.is(long.reply.body, "slept");
  const ended = r.reports.find(({ longEnded }) => longEnded !== undefined);
  t.deepEqual(ended?.longEnded, [told[0]?.long?.[0]?.call]);
});

test("a scheduler that begins is told at once of the direct calls that it speaks for, and whoever did so before is told to stop", async (t) => {
  const r = await rig(t);
  await ready(r, "sleep", "1");
  await r.grant("sleep");
  const alive = (node: string, epoch: string) => r.outside.tell(nodeAnnouncement, ["scheduler", node], { node, epoch, draining: false });
  const long = r.direct("sleep", "900");
  await r.clock.advance(400);
  const spoken = () => r.reports.flatMap(({ to, long: calls = [] }) => calls.map(() => to));
  t.deepEqual(spoken(), ["k1"]);
  alive("k1", "second life");
  await r.clock.advance(LIMITS.announceEvery.value);
  t.deepEqual(spoken(), ["k1", "k1"]);
  // The function falls to this one.
  t.is(rendezvous("main.sleep", ["k1", "h2"]), "h2");
  alive("h2", "first life");
  await r.clock.advance(LIMITS.announceEvery.value);
  const ended = () => r.reports.flatMap(({ to, longEnded = [] }) => longEnded.map(() => to));
  t.deepEqual(spoken(), ["k1", "k1", "h2"]);
  t.deepEqual(ended(), ["k1"]);
  await r.clock.advance(600);
  t.is(long.reply.body, "slept");
  t.deepEqual(ended(), ["k1", "h2"]);
});

test("direct calls that piled up while the process slept end as Unavailable, orders of that time are refused, and later ones served", async (t) => {
  const r = await rig(t);
  await ready(r, "echo", "x");
  await r.grant("echo", { lifeMs: 60_000 });
  r.bus.hang();
  const piled = r.direct("echo", "old");
  const ordered = r.call("echo", "hot", "old");
  await r.clock.stall(LIMITS.clockGap.value + LIMITS.hostTick.value + 100);
  r.bus.thaw();
  await r.clock.settle();
  t.is(piled.replies.length, 1);
  t.is(piled.reply.header("Pilot-Error"), "Unavailable");
  t.is(ordered.refused, "queue-full");
  t.is(r.counter("direct.piledUp"), 1);
  t.is(r.counter("clock.gaps"), 1);
  await r.clock.advance(LIMITS.pileUp.value);
  const fresh = r.direct("echo", "new");
  await r.clock.settle();
  t.is(fresh.reply.body, "new");
});

test("what a cut cable held back is not run: direct calls end as Unavailable and orders are refused until the broker's answer has come", async (t) => {
  const r = await rig(t);
  await ready(r, "echo", "x");
  await r.grant("echo", { lifeMs: 60_000 });
  r.bus.owedMs = LIMITS.clockGap.value + 1;
  const held = r.direct("echo", "old");
  const ordered = r.call("echo", "hot", "old");
  await r.clock.settle();
  t.is(held.reply.header("Pilot-Error"), "Unavailable");
  t.is(ordered.refused, "queue-full");
  r.bus.owedMs = 0;
  const fresh = r.direct("echo", "new");
  await r.clock.settle();
  t.is(fresh.reply.body, "new");
});

test("a host on a broker that would not drop it when hung takes no grant", async (t) => {
  const r = await rig(t, { answersDirectly: false });
  t.deepEqual(await r.grant("echo"), ["main.echo"]);
  t.is(r.broker.interest("pilot.fn.main.echo"), 0);
});
