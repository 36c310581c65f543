/** One traced call of an example, and what the reply says of how it was placed. */
import { performance } from "node:perf_hooks";
import type { Connected } from "../../nodes/io/nats.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { SUBJECT } from "../../protocol/subjects.ts";
import type { Example } from "./example.ts";

/** How long a call may wait for its place: a small or busy machine boots slowly. */
const PATIENCE_MS = 20_000;

export interface Placed {
  readonly rung: string;
  readonly path: string;
  /** As the caller saw it, in ms. */
  readonly totalMs: number;
  /** From the call's arrival until its code ran, in ms, by the platform's clock; undefined when the reply does not say. */
  readonly startMs: number | undefined;
  /** What is wrong with the answer; undefined when it is what the example promises. */
  readonly wrong: string | undefined;
}

export interface CallPlan {
  readonly account: string;
  readonly name: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Gives the call up: it is then a row with `wrong`. */
  readonly signal: AbortSignal;
}

/** Calls and never rejects: a call that failed is a row with `wrong`. */
export async function placedCall(platform: Connected, example: Example, plan: CallPlan): Promise<Placed> {
  const { account, name, headers, signal } = plan;
  const began = performance.now();
  try {
    const reply = await platform.caller.call(SUBJECT.fn(account, name), example.body, {
      headers: { ...headers, "Pilot-Trace": "1", "Pilot-Deadline": String(PATIENCE_MS) },
      signal,
      timeoutMs: PATIENCE_MS + LIMITS.timeoutDefault.value,
    });
    return read(reply.headers, performance.now() - began, example.judge(reply.body));
  } catch (thrown) {
    const fault = Fault.from(thrown);
    const told = (fault.details?.["headers"] ?? {}) as Record<string, string>;
    return read(told, performance.now() - began, example.judgeFault(fault));
  }
}

function read(headers: Readonly<Record<string, string>>, totalMs: number, wrong: string | undefined): Placed {
  const [received = Number.NaN, started = Number.NaN] = (headers["Pilot-Times"] ?? "").split(";").map(Number);
  return {
    rung: headers["Pilot-Rung"] ?? "-",
    path: headers["Pilot-Path"] ?? "-",
    totalMs,
    // A call that never ran has 0 as its start.
    startMs: started > 0 && Number.isFinite(received) ? started - received : undefined,
    wrong,
  };
}
