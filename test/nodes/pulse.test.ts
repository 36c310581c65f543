/** A process that slept for longer than the broker keeps its connection. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import test from "ava";
import type { NatsConnection } from "nats";
import { connect } from "../../nodes/io/nats.ts";
import { openPulse } from "../../nodes/io/pulse.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { SUBJECT } from "../../protocol/subjects.ts";
import { startTestBroker } from "../support/nats-server.ts";
import { until } from "../support/until.ts";

const ANSWERING = fileURLToPath(new URL("../support/answering-node.js", import.meta.url));
const LONG_MS = 30_000;
const SENT = 300;

test("what came to a process that slept until the broker dropped it is read when it wakes, and answered on the next connection", async (t) => {
  const broker = await startTestBroker(t);
  const host = broker.credentials("host");
  const child = fork(ANSWERING, [broker.url, host.user, host.pass]);
  t.teardown(() => child.kill("SIGKILL"));
  await once(child, "message");

  const scheduler = broker.credentials("scheduler");
  const { nc, close } = await connect(
    { servers: [broker.url], user: scheduler.user, password: scheduler.pass },
    { name: "asker", role: "scheduler", node: "scheduler-1" },
  );
  t.teardown(close);
  const answered = new Set<number>();
  let isDropped = false;
  nc.subscribe(SUBJECT.backAll("scheduler-1"), {
    callback(_, message) {
      if (message.headers?.code === 503) isDropped = true;
      else answered.add(Number(message.string()));
    },
  });
  const ask = (n: number) => nc.publish(SUBJECT.host("host-1"), String(n), { reply: SUBJECT.back("scheduler-1", n, 1, "nobody") });
  ask(0);
  await until(() => answered.has(0), "an answer", LONG_MS);

  child.kill("SIGSTOP");
  for (let n = 1; n <= SENT; n++) ask(n);
  await nc.flush();
  await until(
    () => {
      ask(SENT + 1);
      return isDropped;
    },
    "the broker to drop the sleeper",
    LONG_MS,
  );
  t.is(answered.size, 1);
  child.kill("SIGCONT");
  await until(() => Array.from({ length: SENT }, (_, at) => at + 1).every((n) => answered.has(n)), "all answers", LONG_MS);
  t.pass();
});

test("who sleeps again before the broker has answered asks again: that answer may lie before the end of the connection", async (t) => {
  const questions: (() => void)[] = [];
  const nc = { isClosed: () => false, flush: () => new Promise<void>((answered) => questions.push(answered)) };
  let steady = 0;
  const pulse = openPulse(nc as unknown as NatsConnection, () => (steady += 1));
  const sleep = () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LIMITS.clockGap.value + 500);
  sleep();
  t.false(pulse.isSteady());
  await until(() => questions.length === 1, "a question", LONG_MS);
  sleep();
  questions[0]?.();
  await until(() => questions.length === 2, "another question", LONG_MS);
  t.deepEqual([pulse.isSteady(), steady], [false, 0]);
  questions[1]?.();
  await until(() => pulse.isSteady(), "the answer", LONG_MS);
  t.is(steady, 1);
});
