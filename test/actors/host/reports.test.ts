import test from "ava";
import type { Call } from "../../../actors/host/call.ts";
import { Reports } from "../../../actors/host/reports.ts";
import { encode } from "../../../protocol/codec.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { callReport } from "../../../protocol/messages/call.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { MemoryBroker } from "../../support/memory-broker.ts";
import { MemoryBus } from "../../support/memory-bus.ts";

/** What a report needs to know of a direct call. */
const direct = (nth: number) =>
  ({
    id: `0mwtmtxk9x7ug2p${nth.toString(36)}`,
    reply: `_INBOX.${"x".repeat(220)}.${nth}`,
    grant: { keeper: "scheduler-1" },
    slot: { account: "a".repeat(63), function: "f".repeat(63) },
  }) as unknown as Call;

test("however many direct calls run on, what a keeper is told of them fits into the broker's messages", async (t) => {
  const clock = new ManualClock();
  const broker = new MemoryBroker(clock);
  const control = new MemoryBus(broker, "h1");
  let largest = 0;
  const told = new Set<string>();
  new MemoryBus(broker, "scheduler-1").hear(callReport, ["scheduler-1"], (report) => {
    largest = Math.max(largest, encode(report).length);
    for (const { call } of report.long ?? []) told.add(call);
  });
  let dropped = 0;
  const reports = new Reports({
    host: "h1",
    epoch: "e1",
    control,
    clock,
    keeperOf: () => "scheduler-1",
    announce: () => undefined,
    ownsAnswers: () => false,
    isLost: () => false,
    dropped: (count) => (dropped += count),
  });
  t.teardown(() => reports.close());
  const calls = Array.from({ length: 20_000 }, (_, nth) => direct(nth));
  for (const call of calls) reports.long(call);
  await clock.advance(2 * LIMITS.announceEvery.value);
  t.is(told.size, calls.length);
  told.clear();
  reports.retell();
  await clock.advance(2 * LIMITS.announceEvery.value);
  t.is(told.size, calls.length);
  t.true(largest < LIMITS.brokerPayload.value, `${largest} bytes`);
  t.is(dropped, 0);
});
