/** What is asked of a call by the clients of this package, and what follows from it: headers, and how long to wait for its reply. */
import type { Bus } from "../../actors/kit/bus.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { showFunction } from "../../protocol/messages/registry.ts";
import type { Pieces } from "./body-stream.ts";
import type { CallOptions } from "./caller.ts";
import type { StopSignal } from "./stop-signal.ts";

/** A function of an account; without qualifier its alias `live`. */
export interface Callee {
  readonly name: string;
  readonly qualifier?: string | undefined;
}

/** A body that is read as it comes, once. Who stops early calls `return` of its iterator. */
export interface BodySource {
  /** Where that is known. */
  readonly bytes: number | undefined;
  readonly pieces: Pieces;
}

export interface Invocation {
  readonly account: string;
  /** Undefined: the body is a request with code in it. */
  readonly callee: Callee | undefined;
  /** A source is read until the whole is known to fit into a message, or else stored while it comes. */
  readonly body: Uint8Array | BodySource;
  /** Sent as they are, beside those of the fields below. Undefined and empty are the same: a call without headers takes the shortest way. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** How long it may wait for a place. */
  readonly deadlineMs?: number | undefined;
  readonly timeoutMs?: number | undefined;
  readonly memoryMb?: number | undefined;
  readonly runtime?: string | undefined;
  readonly trace?: boolean | undefined;
  /** How long to wait for the reply in all, where that is not to follow from the times above. */
  readonly patienceMs?: number | undefined;
  /** Ends the call with Cancelled, and its run. */
  readonly signal?: StopSignal | undefined;
  /** Told of a large body or result: bytes that are through, and in all. */
  readonly onProgress?: ((direction: "up" | "down", done: number, total: number) => void) | undefined;
  /** Told when a body that came as a source is stored and no longer held. */
  readonly onStored?: (() => void) | undefined;
  /** Told how large a result is that is about to be read, and waited for; what it rejects with ends the call. */
  readonly onLargeResult?: ((bytes: number) => Promise<void>) | undefined;
  /** Told the subject of the reply, before the call is sent, each time that it is. */
  readonly onReplySubject?: ((subject: string) => void) | undefined;
  /** Whether a call that nobody hears is tried again. Default false. */
  readonly retriesAbsent?: boolean | undefined;
}

/** How long it may wait for a place, in ms. */
export const waitOf = (order: Invocation): number => order.deadlineMs ?? LIMITS.waitForPlace.value;

/**
 * How long to wait for the reply. The platform answers every call by itself, so this is only for calls that nobody can speak for any
 * more. Where the call names no limit, the function's own counts, and is asked for only when a call lasts long.
 */
export function patienceOf(order: Invocation, bus: Bus | undefined): Pick<CallOptions, "timeoutMs" | "more"> {
  const { callee, account, timeoutMs, patienceMs } = order;
  if (patienceMs !== undefined) return { timeoutMs: patienceMs };
  const known = timeoutMs ?? LIMITS.timeoutDefault.value;
  const total = waitOf(order) + known + LIMITS.replyGrace.value;
  if (timeoutMs !== undefined || callee === undefined || bus === undefined) return { timeoutMs: total };
  const more = async (): Promise<number> => {
    const shown = await bus.ask(showFunction, [], { account, name: callee.name });
    return shown.function.settings.timeoutMs - known;
  };
  return { timeoutMs: total, more };
}

/** Why no reply came within that time, and what to do next. */
export function overdue(fault: Fault, waitedMs: number): Fault {
  const details = fault.details ?? {};
  if (details["undelivered"] === true)
    return new Fault("Unavailable", "the connection to the broker was away for as long as the call may wait", details);
  if (details["wasAway"] === true) {
    const next = "Call again if running twice does no harm; the reply may have been lost with the connection.";
    return new Fault("InstanceLost", `no reply within ${Math.round(waitedMs)} ms; the connection to the broker was away meanwhile`, {
      ...details,
      next,
    });
  }
  return new Fault("InstanceLost", `no reply within ${Math.round(waitedMs)} ms; whoever ran the call is gone`, {
    ...details,
    next: "Call again if running twice does no harm. If the function may run longer than that, say so with the call: --timeout, Pilot-Timeout or timeoutMs.",
  });
}

/** What is sent beside the body. */
export function headersOf(order: Invocation): Record<string, string> {
  const headers: Record<string, string> = { ...order.headers };
  if (order.trace === true) headers["Pilot-Trace"] = "1";
  if (order.deadlineMs !== undefined) headers["Pilot-Deadline"] = String(order.deadlineMs);
  if (order.timeoutMs !== undefined) headers["Pilot-Timeout"] = String(order.timeoutMs);
  if (order.memoryMb !== undefined) headers["Pilot-Memory"] = String(order.memoryMb);
  if (order.runtime !== undefined) headers["Pilot-Runtime"] = order.runtime;
  return headers;
}

/** Asked anew each time: it changes while one waits. */
export const isAborted = (signal: StopSignal | undefined): boolean => signal?.aborted === true;

/** What a call ends with whose signal fired. */
export const cancelledBy = (signal: StopSignal): Fault =>
  signal.reason instanceof Fault ? signal.reason : new Fault("Cancelled", "the caller cancelled the call", undefined, signal.reason);
