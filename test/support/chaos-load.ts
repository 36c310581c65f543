/**
 * Mixed load under random deaths, and the account of it: every call is answered, ends in a typed error, or stands in the window
 * that SPECIFICATION.md excuses for a death; none runs twice, and none begins to run after its caller was told that it failed.
 */
import type { NatsConnection } from "nats";
import { publish } from "../../cli/publish.ts";
import { bundleSource } from "../../nodes/io/bundle/index.ts";
import type { Connected } from "../../nodes/io/nats.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { SUBJECT } from "../../protocol/subjects.ts";
import type { Seat } from "./chaos-seat.ts";
import { SILENCE } from "./faults.ts";

export const KINDS = ["direct", "placed", "long", "nested", "pair", "again", "snake"] as const;
export type Kind = (typeof KINDS)[number];

/** How long a call may wait for a place. */
const PLACE_MS = 8_000;
const LONG_MS = 2_500;
/** Who has heard nothing for this long hears nothing any more: a call that has its place waits until its container is made. */
const CALLER_MS = PLACE_MS + LIMITS.boot.value + LIMITS.load.value + LONG_MS + LIMITS.replyGrace.value;
/** What may be said to a caller under deaths. */
const TYPED = new Set(["InstanceLost", "Throttled", "Unavailable"]);
const PASSED_ON = /\b(InstanceLost|Throttled|Unavailable)\b/;
/** Two clocks of one machine, and a message on its way. */
const SLACK_MS = 300;

export interface ChaosCall {
  readonly n: number;
  readonly kind: Kind;
  /** Who made it. */
  readonly seat: Seat;
  /** On the clock of performance.now(). */
  readonly at: number;
  /** How long its function takes. */
  readonly ms: number;
  /** When it began to run, as far as that was heard; of what it called, where it calls another. */
  readonly runs: number[];
  endedAt: number;
  /** Name of the error, "" for an answer, "silence" for the caller's own timeout, "" with a wrong value never; undefined while it is open. */
  end: string | undefined;
  message: string;
}

/** A span in which calls of some kinds may hear nothing, and why. */
export interface Excuse {
  readonly why: string;
  /** When it began. */
  readonly at: number;
  covers(call: ChaosCall): boolean;
}

export interface ChaosLoad {
  readonly calls: readonly ChaosCall[];
  /** Ends of all calls that were made from this time on, counted by name. */
  tally(from?: number, to?: number): Record<string, number>;
  /** Sentences on calls that heard nothing, and may. */
  silent(excuses: readonly Excuse[]): string[];
  /** Sentences on what must not be, of calls made from this time on; empty is good. */
  wrong(excuses: readonly Excuse[], from: number): string[];
  /** No further calls; resolves when all have ended. */
  stop(): Promise<void>;
}

function silence(call: ChaosCall, near: readonly Excuse[]): string {
  const blows = near.map(({ at, why }) => `${Math.round(call.at - at)} ms after the ${why}`).join(", ");
  const ran = call.runs.map((at) => `, ran ${Math.round(at - call.at)} ms later for ${call.ms} ms`).join("");
  return `call ${call.n} of ${call.kind} at ${call.seat.server}, made ${blows}${ran}, heard nothing`;
}

const SAYS = 'await context.publish("ran", { n, id: Math.random(), at: Date.now() });';
const NODE = `
export const handler = async ({ n, ms = 0 }, context) => {
  ${SAYS}
  if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
  return { n };
};`;
const NESTED = `
export const handler = async (event, context) => context.call("placed", event);`;
const PYTHON = `
import random, time
def handler(event, context):
    context.publish("ran", {"n": event["n"], "id": random.random(), "at": time.time() * 1000})
    time.sleep(event.get("ms", 0) / 1000)
    return {"n": event["n"]}
`;

/** Deploys one function of each kind in the account main. */
export async function deployChaos(operator: Connected): Promise<void> {
  const put = async (name: Kind, source: string, runtime: "node" | "python", settings: object) =>
    publish(operator, await bundleSource(source, runtime), { account: "main", name, settings });
  await put("direct", NODE, "node", { class: "busy" });
  await put("placed", NODE, "node", { class: "rare" });
  await put("long", NODE, "node", { class: "rare" });
  await put("nested", NESTED, "node", { class: "rare" });
  await put("pair", NODE, "node", { containers: 2 });
  await put("again", NODE, "node", { idempotent: true });
  await put("snake", PYTHON, "python", { class: "rare" });
}

/** Calls until stopped, from each seat in turn. Each of `listeners` hears of the runs: one alone would miss those that its broker took with it. */
export async function startChaos(
  seats: readonly Seat[],
  listeners: readonly NatsConnection[],
  random: { next(): number },
  perSecond: number,
): Promise<ChaosLoad> {
  const calls: ChaosCall[] = [];
  const open = new Set<Promise<void>>();
  const epoch = Date.now() - performance.now();
  /** Ids of runs. */
  const heard = new Set<number>();
  for (const nc of listeners) {
    nc.subscribe(SUBJECT.pub("main", "ran"), {
      callback(error, message) {
        if (error !== null) return;
        const { n, id, at } = message.json<{ n: number; id: number; at: number }>();
        if (heard.has(id)) return;
        heard.add(id);
        calls[n - 1]?.runs.push(at - epoch);
      },
    });
    await nc.flush();
  }

  const one = async (call: ChaosCall): Promise<void> => {
    const body = new TextEncoder().encode(JSON.stringify({ n: call.n, ms: call.ms }));
    try {
      const reply = await call.seat.connected.caller.call(SUBJECT.fn("main", call.kind), body, {
        headers: { "Pilot-Deadline": String(PLACE_MS) },
        timeoutMs: CALLER_MS,
      });
      const value = JSON.parse(new TextDecoder().decode(reply.body)) as { n?: number };
      call.end = value.n === call.n ? "" : "WrongAnswer";
    } catch (thrown) {
      const { name, message } = Fault.from(thrown);
      call.end = name === "Unavailable" && message === SILENCE ? "silence" : name;
      call.message = message;
    }
    call.endedAt = performance.now();
  };
  const timer = setInterval(() => {
    const kind = KINDS[Math.floor(random.next() * KINDS.length)] ?? "direct";
    const ms = kind === "long" ? LONG_MS : Math.floor(random.next() ** 3 * 300);
    const seat = seats[calls.length % seats.length] as Seat;
    const n = calls.length + 1;
    const call: ChaosCall = { n, kind, seat, at: performance.now(), ms, runs: [], endedAt: 0, end: undefined, message: "" };
    calls.push(call);
    const done = one(call).then(() => void open.delete(done));
    open.add(done);
  }, 1_000 / perSecond);

  const faultOf = (call: ChaosCall, excuses: readonly Excuse[]): string | undefined => {
    const { runs } = call;
    const what = `call ${call.n} of ${call.kind}`;
    if (runs.length > 1 && call.kind !== "again") return `${what} ran ${runs.length} times`;
    if (call.end === "") return undefined;
    if (call.end === "silence")
      return excuses.some((excuse) => excuse.covers(call))
        ? undefined
        : silence(
            call,
            excuses.filter(({ at }) => Math.abs(call.at - at) < CALLER_MS),
          );
    // A function that calls another passes on what it heard.
    if (call.kind === "nested" && call.end === "HandlerError" && PASSED_ON.test(call.message)) return undefined;
    if (call.end === undefined || !TYPED.has(call.end)) return `${what} ended as ${call.end}: ${call.message}`;
    // What may still run when its caller is told of a loss had begun before.
    // What it called while it ran is its own doing, and may be delayed with its host.
    const stale = call.kind === "nested" ? [] : runs.filter((at) => at > call.endedAt + SLACK_MS);
    return stale.length > 0
      ? `${what} began to run ${Math.round((stale[0] ?? 0) - call.endedAt)} ms after it had ended as ${call.end}`
      : undefined;
  };
  return {
    calls,
    tally(from = 0, to = Number.POSITIVE_INFINITY) {
      const counts: Record<string, number> = {};
      for (const { at, end } of calls) {
        if (at < from || at >= to) continue;
        const name = end === "" ? "answered" : (end ?? "open");
        counts[name] = (counts[name] ?? 0) + 1;
      }
      return counts;
    },
    silent: (excuses) =>
      calls.flatMap((call) => {
        const excuse = call.end === "silence" ? excuses.find((one) => one.covers(call)) : undefined;
        return excuse === undefined ? [] : [silence(call, [excuse])];
      }),
    wrong: (excuses, from) => calls.filter(({ at }) => at >= from).flatMap((call) => faultOf(call, excuses) ?? []),
    async stop() {
      clearInterval(timer);
      await Promise.all(open);
      for (const nc of listeners) await nc.flush();
    },
  };
}

/** A frontend ends what nobody took when the wait is over, and a second more for news under way; a sweep comes four times a second. */
export const HELD_MS = PLACE_MS + LIMITS.clockGap.value + 250;
