/**
 * Continuous calls of every kind from a caller that tries nothing twice, and the account of them: what each was answered,
 * how often each ran, how each was placed.
 */
import { publish } from "../../cli/publish.ts";
import { bundleSource } from "../../nodes/io/bundle/index.ts";
import type { Connected } from "../../nodes/io/nats.ts";
import { Fault } from "../../protocol/errors.ts";
import { SUBJECT } from "../../protocol/subjects.ts";
import { WORK } from "./faults.ts";

export const KINDS = ["direct", "placed", "long", "nested", "snake"] as const;
export type Kind = (typeof KINDS)[number];

/** In their turns; busy functions are called more often. */
const SHORT: readonly Kind[] = ["direct", "placed", "direct", "nested", "snake"];

/** Each holds a container all the while. */
const LONG_PER_SECOND = 1;

/** How long a call may wait for a place: a boot takes seconds where everything else is busy too. */
const PLACE_MS = 12_000;

export interface LoadedCall {
  readonly n: number;
  readonly kind: Kind;
  /** On the clock of performance.now(). */
  readonly at: number;
  /** Name of the error, "" for an answer, undefined while it is open. */
  error: string | undefined;
  message: string;
  headers: Readonly<Record<string, string>>;
  ms: number;
}

export interface MixedLoad {
  readonly calls: readonly LoadedCall[];
  /** Runs of each call by its number. */
  readonly runs: ReadonlyMap<number, number>;
  /** Calls that were answered with an error, and calls that ran twice: one sentence each. */
  wrong(): string[];
  /** No further calls; resolves when all are answered. */
  stop(): Promise<void>;
}

const PYTHON = `
import time
def handler(event, context):
    context.publish("ran", {"n": event["n"]})
    time.sleep(event.get("ms", 0) / 1000)
    return {"n": event["n"]}
`;
/** Calls `placed` and gives its answer on. */
const NESTED = `
export const handler = async (event, context) => {
  const answer = await context.call("placed", event);
  return answer;
};`;

/** Deploys one function of each kind in the account main. */
export async function deployKinds(operator: Connected): Promise<void> {
  const put = async (name: Kind, source: string, runtime: "node" | "python", settings: { class: "busy" | "rare" }) => {
    await publish(operator, await bundleSource(source, runtime), { account: "main", name, settings });
  };
  await put("direct", WORK, "node", { class: "busy" });
  await put("placed", WORK, "node", { class: "rare" });
  await put("long", WORK, "node", { class: "rare" });
  await put("nested", NESTED, "node", { class: "rare" });
  await put("snake", PYTHON, "python", { class: "rare" });
}

export interface LoadOptions {
  /** Calls a second, all kinds together. */
  readonly perSecond: number;
  /** Run time of a long call in ms. */
  readonly longMs: number;
  readonly timeoutMs: number;
}

/** Begins to call. `caller` hears the runs too. */
export async function startLoad(caller: Connected, options: LoadOptions): Promise<MixedLoad> {
  const calls: LoadedCall[] = [];
  const open = new Set<Promise<void>>();
  const runs = new Map<number, number>();
  caller.bus.listen(SUBJECT.pub("main", "ran"), {}, ({ body }) => {
    const { n } = JSON.parse(new TextDecoder().decode(body)) as { n: number };
    runs.set(n, (runs.get(n) ?? 0) + 1);
  });
  await caller.nc.flush();

  const one = async (call: LoadedCall): Promise<void> => {
    const ms = call.kind === "long" ? options.longMs : call.kind === "direct" ? 0 : 20;
    const body = new TextEncoder().encode(JSON.stringify({ n: call.n, ms }));
    const isBare = call.kind === "direct" && call.n % 4 === 0;
    const headers = isBare ? {} : { "Pilot-Trace": "1", "Pilot-Deadline": String(PLACE_MS) };
    try {
      const reply = await caller.caller.call(SUBJECT.fn("main", call.kind), body, { headers, timeoutMs: options.timeoutMs });
      const value = JSON.parse(new TextDecoder().decode(reply.body)) as { n?: number };
      call.headers = reply.headers;
      call.error = value.n === call.n ? "" : "WrongAnswer";
    } catch (thrown) {
      const fault = Fault.from(thrown);
      call.error = fault.name;
      call.message = fault.message;
      call.headers = (fault.details?.["headers"] ?? {}) as Record<string, string>;
    }
    call.ms = Math.round(performance.now() - call.at);
  };
  const longEvery = Math.max(1, Math.round(options.perSecond / LONG_PER_SECOND));
  const timer = setInterval(() => {
    const n = calls.length + 1;
    const kind = n % longEvery === 0 ? "long" : (SHORT[n % SHORT.length] ?? "direct");
    const call: LoadedCall = { n, kind, at: performance.now(), error: undefined, message: "", headers: {}, ms: 0 };
    calls.push(call);
    const done = one(call).then(() => void open.delete(done));
    open.add(done);
  }, 1_000 / options.perSecond);
  return {
    calls,
    runs,
    wrong() {
      const failed = calls.filter(({ error }) => error !== undefined && error !== "");
      const twice = calls.filter(({ n }) => (runs.get(n) ?? 0) > 1);
      const lost = calls.filter(({ n, error }) => error === "" && !runs.has(n));
      return [
        ...failed.map(({ n, kind, error, message, ms }) => `call ${n} of ${kind} ended after ${ms} ms as ${error}: ${message}`),
        ...twice.map(({ n, kind }) => `call ${n} of ${kind} ran ${runs.get(n)} times`),
        ...lost.map(({ n, kind }) => `call ${n} of ${kind} was answered and its run was not heard`),
      ];
    },
    async stop() {
      clearInterval(timer);
      await Promise.all(open);
      await caller.nc.flush();
    },
  };
}
