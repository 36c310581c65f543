/** From receipt, or from the retrieval of a message, to the start of the code: both ends are recorded for each run. How long it takes is a benchmark's business. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import anyTest, { type ExecutionContext, type TestFn } from "ava";
import { AckPolicy } from "nats";
import { decode } from "../../protocol/codec.ts";
import { callRecords } from "../../protocol/messages/call.ts";
import { preloadFunction, showCall } from "../../protocol/messages/fleet.ts";
import { setPool } from "../../protocol/messages/registry.ts";
import type { CallRecord } from "../../protocol/vocabulary.ts";
import { type Ended, type Platform, startPlatform } from "../support/platform.ts";
import { until } from "../support/until.ts";

const test = anyTest.serial as unknown as TestFn<never>;
let platform: Platform;

test.before(async () => {
  platform = await startPlatform();
});
test.after.always(() => platform?.stop());

const ECHO = "export const handler = async (event) => event";
const SLOW = "export const handler = ({ ms }) => new Promise((resolve) => setTimeout(resolve, ms ?? 0, ms))";
const warm = () =>
  until(
    async () => (await platform.fleet()).hosts.some((host) => host.instances.some((one) => one.runtime === "node" && one.state === "warm")),
    "a warm instance",
    30_000,
  );

/** The reply's stamps; the record must say the same. */
async function recorded(
  t: ExecutionContext<never>,
  what: string,
  { headers, error, message }: Ended,
): Promise<readonly [number, number, number]> {
  t.is(error, undefined, `${what}: ${message}`);
  const id = headers["Pilot-Call"] ?? "";
  const { call } = await until(
    async () => platform.operator.bus.ask(showCall, [], { id }).catch(() => undefined),
    `the record of ${what}`,
    20_000,
  );
  t.is(headers["Pilot-Times"], `${call.receivedAt};${call.startedAt};${call.endedAt}`, what);
  t.is(call.rung, headers["Pilot-Rung"] as typeof call.rung, what);
  t.true(call.receivedAt > 0 && call.receivedAt <= call.startedAt && call.startedAt <= call.endedAt, `${what}: ${headers["Pilot-Times"]}`);
  // Stamps with fractions: a whole millisecond would hide most of what happens on the hot path.
  t.true(
    [call.receivedAt, call.startedAt, call.endedAt].some((at) => !Number.isInteger(at)),
    what,
  );
  return [call.receivedAt, call.startedAt, call.endedAt];
}

test("F026 F028 receipt and start are recorded on every rung and every path", async (t) => {
  const seen: Record<string, Ended> = {};
  const take = (wanted: string, reply: Ended) => {
    t.is(reply.headers["Pilot-Rung"], wanted, `${reply.error}: ${reply.message}`);
    seen[wanted] = reply;
  };
  await warm();
  await platform.deploy("slow", SLOW, { account: "timing", settings: { class: "rare" } });
  take("warm", await platform.call("timing/slow", { ms: 2_500 }));
  take("hot", await platform.call("timing/slow", {}));
  await platform.operator.bus.ask(preloadFunction, [], { account: "timing", name: "slow", count: 1 });
  const long = "export const handler = () => new Promise((resolve) => setTimeout(resolve, 2500))";
  await platform.deploy("long", long, { account: "timing", settings: { class: "rare" } });
  take("own", await platform.call("timing/long"));
  const [first, second] = await Promise.all([platform.call("timing/long"), platform.call("timing/long")]);
  take("cached", first.headers["Pilot-Rung"] === "cached" ? first : second);
  await platform.operator.bus.ask(setPool, [], { runtime: "node", memoryMb: 1_024, warm: 0 });
  await platform.deploy("slow", SLOW, { account: "timing-cold" });
  take("cold", await platform.call("timing-cold/slow", {}, { "Pilot-Deadline": "30000" }));
  await platform.deploy("busy", ECHO, { account: "timing", settings: { class: "busy" } });
  seen["direct"] = await until(
    async () => {
      const reply = await platform.call("timing/busy");
      return reply.headers["Pilot-Path"] === "direct" ? reply : undefined;
    },
    "a direct answer",
    20_000,
  );
  for (const [what, reply] of Object.entries(seen)) await recorded(t, what, reply);
  t.deepEqual(Object.keys(seen).sort(), ["cached", "cold", "direct", "hot", "own", "warm"]);
});

test("F028 F099 the record of a call, with both ends of its clock, is in the call log too, where it outlives its host", async (t) => {
  await platform.deploy("logged", ECHO, { account: "timing" });
  const { headers } = await platform.call("timing/logged");
  const id = headers["Pilot-Call"];
  const jsm = await platform.operator.nc.jetstreamManager();
  const record = await until(
    async () => {
      const { state } = await jsm.streams.info("PILOT_CALLS");
      for (let seq = state.last_seq; seq >= Math.max(1, state.first_seq); seq--) {
        const { calls } = callRecords.body.parse(decode((await jsm.streams.getMessage("PILOT_CALLS", { seq })).data));
        const found = (calls as readonly CallRecord[]).find((call) => call.id === id);
        if (found !== undefined) return found;
      }
      return undefined;
    },
    "the record in the stream",
    20_000,
  );
  t.is(`${record.receivedAt};${record.startedAt};${record.endedAt}`, headers["Pilot-Times"] ?? "");
  t.like(record, {
    account: "timing",
    function: "logged",
    instance: headers["Pilot-Instance"],
    container: headers["Pilot-Container"],
    host: headers["Pilot-Host"],
  });
});

test("F027 for each message that is pulled and run, retrieval, receipt and start are recorded in that order, and it runs once", async (t) => {
  await platform.deploy("consume", "export const handler = ({ nth }) => ({ nth })", { account: "events" });
  const { nc } = platform.operator;
  const jsm = await nc.jetstreamManager();
  await jsm.streams.add({ name: "TIMING_EVENTS", subjects: ["timing.events"] });
  t.teardown(() => jsm.streams.delete("TIMING_EVENTS"));
  await jsm.consumers.add("TIMING_EVENTS", { durable_name: "poller", ack_policy: AckPolicy.Explicit });
  const js = nc.jetstream();
  const COUNT = 60;
  for (let nth = 0; nth < COUNT; nth++) await js.publish("timing.events", JSON.stringify({ nth }));

  const runs: { readonly nth: number; readonly retrieved: number; readonly reply: Ended }[] = [];
  const consumer = await js.consumers.get("TIMING_EVENTS", "poller");
  while (runs.length < COUNT) {
    const batch = await consumer.fetch({ max_messages: 10, expires: 5_000 });
    const running: Promise<unknown>[] = [];
    for await (const message of batch) {
      const retrieved = Date.now();
      const { nth } = message.json<{ nth: number }>();
      running.push(
        platform.call("events/consume", { nth }, { "Pilot-Deadline": "30000" }).then((reply) => {
          runs.push({ nth, retrieved, reply });
          message.ack();
        }),
      );
    }
    t.true(running.length > 0, "messages are left, and none came");
    await Promise.all(running);
  }
  t.deepEqual(
    runs.map(({ nth }) => nth).sort((a, b) => a - b),
    Array.from({ length: COUNT }, (_, nth) => nth),
  );
  t.is(new Set(runs.map(({ reply }) => reply.headers["Pilot-Call"])).size, COUNT);
  for (const { nth, retrieved, reply } of runs) {
    t.deepEqual(reply.value, { nth });
    const [received] = await recorded(t, `message ${nth}`, reply);
    // Two processes, one system clock: it may be read to a millisecond only here, and be set a little by the machine.
    t.true(retrieved <= received + 5, `message ${nth}: retrieved ${retrieved}, received ${received}`);
  }
  const info = await jsm.consumers.info("TIMING_EVENTS", "poller");
  t.is(info.num_redelivered, 0);
});

test("F026 F027 the benchmark reports both figures, with no call lost or doubled", async (t) => {
  t.timeout(120_000);
  const bench = fileURLToPath(new URL("../../bench/index.js", import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [bench, "event", "--quick", "--json", "--rounds", "1"], {
    timeout: 100_000,
    killSignal: "SIGTERM",
  });
  const report = JSON.parse(stdout) as { lost: number; doubled: number; figures: { name: string; unit: string; median: number }[] };
  t.is(report.lost, 0);
  t.is(report.doubled, 0);
  for (const name of ["retrieval → start, p50", "retrieval → start, p99", "receipt → start, warm, p99", "receipt → start, hot, p99"]) {
    const found = report.figures.find((one) => one.name === name);
    t.is(found?.unit, "ms", name);
    t.true((found?.median ?? -1) >= 0, name);
  }
});
