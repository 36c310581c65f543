import test, { type ExecutionContext } from "ava";
import { FrontendCalls } from "../../../actors/frontend/calls.ts";
import type { Message } from "../../../actors/kit/bus.ts";
import { Members } from "../../../actors/kit/members.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { parseBackSubject, SUBJECT } from "../../../protocol/subjects.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { MemoryBroker } from "../../support/memory-broker.ts";
import { MemoryBus } from "../../support/memory-bus.ts";
import { seededRandom } from "../../support/random.ts";
import { recordLog } from "../../support/record-log.ts";

/** Has waited for nothing and runs for a second. */
const HEAD = {
  call: "0mwtmtxk9x7ug2prm0",
  account: "main",
  function: "echo",
  version: 1,
  memoryMb: 128,
  timeoutMs: 1_000,
  keepAliveMs: 1_000,
  containers: LIMITS.containersPerFunction.value,
  waitMs: 1_000,
  receivedAt: 0,
  trace: false,
  class: "rare",
  attempt: 1,
  idempotent: false,
} as const;

/** One call is on its way to the host h1, where nobody listens but the test. `replies`: what its caller hears. */
async function open(t: ExecutionContext, head: Parameters<FrontendCalls["place"]>[0] = HEAD) {
  const clock = new ManualClock();
  const broker = new MemoryBroker(clock);
  const bus = new MemoryBus(broker, "frontend-1");
  const hosts = new Members(new MemoryBus(broker, "control"), clock, () => undefined);
  const schedulers = new Members(new MemoryBus(broker, "control"), clock, () => undefined);
  t.teardown(() => {
    hosts.stop();
    schedulers.stop();
  });
  const replies: Message[] = [];
  new MemoryBus(broker, "caller").listen("_INBOX.caller.1", {}, (message) => replies.push(message));
  const numbers: number[] = [];
  new MemoryBus(broker, "h1").listen(SUBJECT.host("h1"), {}, (message) => {
    const back = parseBackSubject(message.reply);
    if (back !== undefined) numbers.push(back.number);
  });
  const log = recordLog();
  const calls = new FrontendCalls({
    bus,
    clock,
    random: seededRandom(1),
    node: "frontend-1",
    epoch: "f1",
    hosts,
    schedulers,
    count: () => undefined,
    log,
  });
  calls.place(head, new Uint8Array(1), "_INBOX.caller.1", { host: "h1", reason: "an idle container has the code" });
  await clock.settle();
  return { clock, bus, schedulers, calls, numbers, replies, log };
}

test("a caller is told of the death of its host though the connection for calls was away at that moment", async (t) => {
  const { clock, bus, calls, numbers, replies } = await open(t);
  calls.taken(numbers, "h1", "e1");
  bus.disconnect();
  calls.hostLost({ id: "h1", epoch: "e1", draining: false });
  calls.sweep();
  t.is(calls.size, 1);
  bus.reconnect();
  calls.sweep();
  await clock.settle();
  t.deepEqual(
    replies.map((message) => message.header("Pilot-Error")),
    ["InstanceLost"],
  );
  t.is(calls.size, 0);
});

test("F099 each line about a call that is placed again, and its error, tell its id; the error only where a trace is asked for", async (t) => {
  for (const trace of [true, false]) {
    const { clock, schedulers, calls, replies, log } = await open(t, { ...HEAD, trace });
    calls.hostLost({ id: "h1", epoch: "e1", draining: false });
    schedulers.heard({ id: "s1", epoch: "e1", draining: false });
    await clock.advance(100);
    calls.keeperLost({ id: "s1", epoch: "e1", draining: false });
    await clock.advance(HEAD.waitMs + LIMITS.clockGap.value);
    calls.sweep();
    await clock.settle();
    t.deepEqual([replies[0]?.header("Pilot-Error"), replies[0]?.header("Pilot-Call")], ["Throttled", trace ? HEAD.call : undefined]);
    const said = log.lines.map(({ message }) => message);
    t.deepEqual(new Set(said), new Set(LINES));
    const { call, account } = HEAD;
    for (const { fields } of log.lines) t.like(fields, { call, account, function: HEAD.function });
  }
});

const LINES = [
  "a call is placed again, since its host was lost",
  "a call is placed again, since its keeper was lost",
  "a call ended without a place",
];
