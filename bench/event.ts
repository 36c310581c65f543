/** How long from a message or a request to the start of its code: the outer promise of F026 and F027, from the stamps of each call. */
import { AckPolicy } from "nats";
import { SUBJECT } from "../protocol/subjects.ts";
import { percentile, spread } from "./engine/figures.ts";
import { freshName, PASSING } from "./engine/fresh.ts";
import { ECHO, waiting } from "./engine/handlers.ts";
import { type Platform, startPlatform } from "./engine/platform.ts";
import { type Answer, figure, type Question } from "./engine/question.ts";

const ACCOUNT = "bench";
const NAME = "echo";
const STREAM = "BENCH_EVENTS";
/** A stream's name and subject of its own, beside everything that is the platform's. */
const EVENTS = "bench.events";
const BATCH = 16;
const CALL_MS = 20_000;
const EMPTY = new TextEncoder().encode("{}");

interface Started {
  readonly rung: string;
  readonly receivedAt: number;
  readonly startedAt: number;
}

export const event: Question = {
  asks: "How long from the retrieval of an event message, and from the receipt of a request, to the start of the code?",
  async measure(effort): Promise<Answer> {
    const platform = await startPlatform({ warm: { node: 2, python: 0 } });
    const seen = { lost: 0 };
    const rounds = { events: [] as number[][], hot: [] as number[][], warm: [] as number[][] };
    const jsm = await platform.connection.nc.jetstreamManager();
    try {
      await platform.deploy(ACCOUNT, NAME, { source: ECHO, runtime: "node" }, { containers: 4 });
      await started(platform, ACCOUNT, NAME, EMPTY);
      await jsm.streams.add({ name: STREAM, subjects: [EVENTS] });
      await jsm.consumers.add(STREAM, { durable_name: "poller", ack_policy: AckPolicy.Explicit });
      for (let round = 0; round < effort.rounds; round += 1) {
        effort.say(`event: round ${round + 1}`);
        rounds.events.push(await consume(platform, effort.quick ? 64 : 512, seen));
        rounds.hot.push(await hotStarts(platform, effort.quick ? 50 : 400, seen));
        rounds.warm.push(await warmStarts(platform, effort.quick ? 2 : 8, seen));
      }
    } finally {
      await platform.stop();
    }
    const lines = (name: string, times: readonly number[][]) =>
      [0.5, 0.99].map((share) => figure(`${name}, p${share * 100}`, "ms", spread(times.map((one) => percentile(one, share)))));
    return {
      figures: [
        ...lines("retrieval → start", rounds.events),
        ...lines("receipt → start, warm", rounds.warm),
        ...lines("receipt → start, hot", rounds.hot),
      ],
      lost: seen.lost,
      doubled: platform.caller.doubled,
      broker: platform.broker,
      notes: [
        "from stamps of two processes on one machine; what a message waited in its stream is not counted",
        `messages are pulled ${BATCH} at a time and their calls run side by side on at most 4 containers`,
      ],
    };
  },
};

async function started(platform: Platform, account: string, name: string, body: Uint8Array): Promise<Started> {
  const { headers } = await platform.caller.call(SUBJECT.fn(account, name), body, { timeoutMs: CALL_MS, headers: { "Pilot-Trace": "1" } });
  const [receivedAt = Number.NaN, startedAt = Number.NaN] = (headers["Pilot-Times"] ?? "").split(";").map(Number);
  return { rung: headers["Pilot-Rung"] ?? "", receivedAt, startedAt };
}

/** Stores messages, then pulls each and calls the function with it. Milliseconds from pull to start. */
async function consume(platform: Platform, count: number, seen: { lost: number }): Promise<number[]> {
  const js = platform.connection.nc.jetstream();
  await Promise.all(Array.from({ length: count }, () => js.publish(EVENTS, EMPTY)));
  const consumer = await js.consumers.get(STREAM, "poller");
  const times: number[] = [];
  for (let done = 0; done < count; ) {
    const batch = await consumer.fetch({ max_messages: Math.min(BATCH, count - done), expires: CALL_MS });
    const running: Promise<void>[] = [];
    for await (const message of batch) {
      const retrievedAt = performance.timeOrigin + performance.now();
      running.push(
        started(platform, ACCOUNT, NAME, message.data).then(
          ({ startedAt }) => {
            message.ack();
            // Two clocks of one machine differ by less than what is measured, but may differ.
            times.push(Math.max(0, startedAt - retrievedAt));
          },
          () => {
            message.ack();
            seen.lost += 1;
          },
        ),
      );
    }
    if (running.length === 0) throw new Error("messages are left in the stream, and none is delivered");
    await Promise.all(running);
    done += running.length;
  }
  return times;
}

async function hotStarts(platform: Platform, count: number, seen: { lost: number }): Promise<number[]> {
  const times: number[] = [];
  for (let index = 0; index < count; index += 1) {
    const one = await started(platform, ACCOUNT, NAME, EMPTY).catch(() => undefined);
    if (one === undefined) seen.lost += 1;
    else if (one.rung === "hot") times.push(one.startedAt - one.receivedAt);
  }
  return times;
}

/** First calls of accounts that nobody has seen, each when an instance is warm. */
async function warmStarts(platform: Platform, count: number, seen: { lost: number }): Promise<number[]> {
  const times: number[] = [];
  for (let index = 0; index < count; index += 1) {
    await platform.untilFleet(
      "a warm instance",
      (host) => host.instances.every(({ state }) => state !== "booting") && host.instances.some(({ state }) => state === "warm"),
    );
    const account = freshName("event");
    await platform.deploy(account, "first", { source: waiting(account), runtime: "node" }, PASSING);
    const one = await started(platform, account, "first", EMPTY).catch(() => undefined);
    if (one === undefined) seen.lost += 1;
    else if (one.rung === "warm") times.push(one.startedAt - one.receivedAt);
    await platform.remove(account, "first");
  }
  return times;
}
