import test from "ava";
import { FrontendCalls } from "../../../actors/frontend/calls.ts";
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

test("a caller is told of the death of its host though the connection for calls was away at that moment", async (t) => {
  const clock = new ManualClock();
  const broker = new MemoryBroker(clock);
  const bus = new MemoryBus(broker, "frontend-1");
  const hosts = new Members(new MemoryBus(broker, "control"), clock, () => undefined);
  const schedulers = new Members(new MemoryBus(broker, "control"), clock, () => undefined);
  t.teardown(() => {
    hosts.stop();
    schedulers.stop();
  });
  const replies: (string | undefined)[] = [];
  new MemoryBus(broker, "caller").listen("_INBOX.caller.1", {}, (message) => replies.push(message.header("Pilot-Error")));
  const numbers: number[] = [];
  new MemoryBus(broker, "h1").listen(SUBJECT.host("h1"), {}, (message) => {
    const back = parseBackSubject(message.reply);
    if (back !== undefined) numbers.push(back.number);
  });
  const calls = new FrontendCalls({
    bus,
    clock,
    random: seededRandom(1),
    node: "frontend-1",
    epoch: "f1",
    hosts,
    schedulers,
    count: () => undefined,
    log: recordLog(),
  });
  calls.place(HEAD, new Uint8Array(1), "_INBOX.caller.1", { host: "h1", reason: "an idle container has the code" });
  await clock.settle();
  calls.taken(numbers, "h1", "e1");
  bus.disconnect();
  calls.hostLost({ id: "h1", epoch: "e1", draining: false });
  calls.sweep();
  t.is(calls.size, 1);
  bus.reconnect();
  calls.sweep();
  await clock.settle();
  t.deepEqual(replies, ["InstanceLost"]);
  t.is(calls.size, 0);
});
