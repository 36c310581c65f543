import test from "ava";
import { Members } from "../../../../actors/kit/members.ts";
import { Fleet } from "../../../../actors/scheduler/fleet.ts";
import { Answers } from "../../../../actors/scheduler/keeper/answers.ts";
import { Held } from "../../../../actors/scheduler/keeper/held.ts";
import { type KeptCall, keptCall } from "../../../../actors/scheduler/keeper/kept-call.ts";
import { LongCalls } from "../../../../actors/scheduler/keeper/long.ts";
import { Sent } from "../../../../actors/scheduler/keeper/sent.ts";
import { encode } from "../../../../protocol/codec.ts";
import { LIMITS } from "../../../../protocol/limits.ts";
import type { CallHead } from "../../../../protocol/messages/call.ts";
import { SUBJECT } from "../../../../protocol/subjects.ts";
import { announcement } from "../../../support/fleet.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { MemoryBroker } from "../../../support/memory-broker.ts";
import { MemoryBus } from "../../../support/memory-bus.ts";
import { recordLog } from "../../../support/record-log.ts";

const HEAD: CallHead = {
  call: "0000000000call1",
  account: "main",
  function: "echo",
  version: 1,
  memoryMb: 128,
  timeoutMs: 1_000,
  keepAliveMs: 1_000,
  containers: 1,
  waitMs: 3_000,
  receivedAt: 0,
  trace: false,
  class: "rare",
  owner: "f1",
  number: 1,
  attempt: 1,
  idempotent: false,
};

/** One order is on its way to the host h1, where nobody listens yet. */
function open() {
  const clock = new ManualClock();
  const broker = new MemoryBroker(clock);
  const bus = new MemoryBus(broker, "k1");
  const hosts = new Members(bus, clock, () => undefined);
  const fleet = new Fleet();
  hosts.heard({ id: "h1", epoch: "e1", draining: false });
  fleet.announced(announcement());
  const again: KeptCall[] = [];
  const held = new Held();
  const may = { place: true };
  const answers = new Answers({
    bus,
    control: bus,
    clock,
    log: recordLog(),
    node: "k1",
    epoch: "e1",
    ownerEpoch: () => undefined,
    count: () => undefined,
  });
  const sent = new Sent({
    bus,
    clock,
    fleet,
    hosts,
    node: "k1",
    held,
    answers,
    mayPlace: () => may.place,
    again: (call) => again.push(call),
    count: () => undefined,
  });
  bus.listen(SUBJECT.backAll("k1"), {}, (message) => sent.cameBack(message));
  const needs = { runtime: "node" as const, network: false, version: undefined };
  const call = keptCall(HEAD, new Uint8Array(1), { number: 5, back: "_pilot.back.f1.1.1.x", reply: "_INBOX.x", needs, now: 0 });
  sent.send(call, { kind: "place", host: "h1", rung: "warm", estimateMs: 1, reason: "a test" }, HEAD);
  return { clock, broker, hosts, fleet, sent, call, again, may };
}

test("an order that is to be tried again is given up when its keeper may not place any more, since another may have done so", async (t) => {
  const { clock, broker, hosts, fleet, sent, call, again, may } = open();
  t.teardown(() => hosts.stop());
  let orders = 0;
  broker.tap(({ subject }) => void (subject === "_pilot.host.h1" && orders++));
  await clock.advance(150);
  t.is(orders, 2);
  may.place = false;
  await clock.advance(500);
  t.is(orders, 2);
  t.deepEqual(again, [call]);
  t.is(sent.size, 0);
  t.is(fleet.outstanding, 0);
});

test("an order that was lost on the way after its host had looked absent is asked after all the same", async (t) => {
  const { clock, broker, hosts, sent, call, again } = open();
  t.teardown(() => hosts.stop());
  await clock.advance(50);
  broker.fault = (packet, to) => (to === "h1" && packet.body.length > 0 ? "drop" : undefined);
  const host = new MemoryBus(broker, "h1");
  host.listen(SUBJECT.host("h1"), {}, (message) =>
    host.send(message.reply, encode({ refused: "no-container", reason: "this call never came here" })),
  );
  await clock.advance(150);
  t.deepEqual(again, []);
  broker.fault = () => undefined;
  for (let step = 0; step < 20; step++) {
    hosts.heard({ id: "h1", epoch: "e1", draining: false });
    sent.sweep(true);
    await clock.advance(50);
  }
  t.deepEqual(again, [call]);
});

test("a long direct call whose end was not told is forgotten after three tellings that do not name it; one that is told again is not", (t) => {
  const calls = new LongCalls();
  calls.reported(
    "h1",
    [
      { call: "ended", reply: "_INBOX.1" },
      { call: "runs", reply: "_INBOX.2" },
    ],
    [],
    0,
  );
  for (let now = LIMITS.longCallsEvery.value; now <= 4 * LIMITS.longCallsEvery.value; now += LIMITS.longCallsEvery.value) {
    calls.reported("h1", [{ call: "runs", reply: "_INBOX.2" }], [], now);
    calls.sweep(now + 1);
  }
  t.is(calls.size, 1);
  t.deepEqual(
    calls.take("h1").map(({ reply }) => reply),
    ["_INBOX.2"],
  );
  t.is(calls.size, 0);
});
