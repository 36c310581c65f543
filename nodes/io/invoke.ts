/**
 * A call as the clients of this package make it: the command line, the client library and the gateway.
 *
 * V1  A body above BODY_LIMIT goes by claim check, and a large result comes by one; neither is seen by whoever calls.
 * V2  A call ends by itself when nobody can speak for it any more: after its deadline, its time limit and LIMITS.replyGrace.
 * V3  Nobody listens (503) means that nothing ran: it is tried again as long as the call may wait for a place, where that is wished.
 * V4  A signal ends the wait at once and the run as soon as it is found.
 */
import { setMaxListeners } from "node:events";
import type { Bus } from "../../actors/kit/bus.ts";
import { parseBody } from "../../protocol/bodies.ts";
import { Fault } from "../../protocol/errors.ts";
import { BODY_LIMIT, LIMITS } from "../../protocol/limits.ts";
import { showFunction } from "../../protocol/messages/registry.ts";
import { SUBJECT } from "../../protocol/subjects.ts";
import { BODY_HEADER, dropBody, getBody, type LargeBody, openBody, putBody, putStream } from "./bodies.ts";
import { type Pieces, partsFrom } from "./body-stream.ts";
import type { CallOptions, CallReply, OwnCaller } from "./caller.ts";
import { cancelRun } from "./cancel.ts";
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

export interface InvokePorts {
  readonly caller: Pick<OwnCaller, "call" | "drop">;
  /** Where the function's own time limit is asked for, by those who have the right; undefined: it is not. */
  readonly bus?: Bus | undefined;
}

export interface OpenReply {
  readonly headers: Readonly<Record<string, string>>;
  /** Empty where `large` is there. */
  readonly body: Uint8Array;
  readonly large: LargeBody | undefined;
}

export interface Invoker {
  /** Rejects with a Fault; what its details say of the call is in caller.ts. */
  invoke(invocation: Invocation): Promise<CallReply>;
  /** The same, but a large result is not read: who gets it in `large` reads or closes it. */
  open(invocation: Invocation): Promise<OpenReply>;
  /** Resolves when runs of calls that were given up have been looked for. */
  settled(): Promise<void>;
}

const RETRY_MS = 50;
const NOTHING = new Uint8Array(0);

export function openInvoker(ports: InvokePorts): Invoker {
  const { caller } = ports;
  const cancels = new Set<Promise<unknown>>();

  /** The call itself. After the signal its run is looked for, while nobody waits any more, and what nobody reads is removed. */
  const send = (order: Invocation, subject: string, body: Uint8Array, options: CallOptions): Promise<CallReply> => {
    const { signal, account } = order;
    const forget = (claim: string | undefined): void => {
      if (claim !== undefined) dropBody(caller, account, claim);
    };
    if (signal === undefined) return caller.call(subject, body, options);
    let reply = "";
    let over = false;
    const onReplySubject = (own: string) => {
      reply = own;
      options.onReplySubject?.(own);
    };
    return new Promise((resolve, reject) => {
      let isHeard = true;
      const onAbort = () => {
        isHeard = false;
        reject(cancelledBy(signal));
        const cancel = cancelRun(caller, account, reply, () => over).then(() => {
          caller.drop(reply);
          forget(options.headers?.[BODY_HEADER]);
        });
        cancels.add(cancel);
        void cancel.finally(() => cancels.delete(cancel));
      };
      const end = () => {
        over = true;
        if (isHeard) signal.removeEventListener("abort", onAbort);
      };
      // One signal may end any number of calls.
      if (signal instanceof AbortSignal) setMaxListeners(0, signal);
      signal.addEventListener("abort", onAbort, { once: true });
      caller.call(subject, body, { ...options, onReplySubject }).then(
        (answer) => {
          end();
          if (!isHeard) forget(answer.headers[BODY_HEADER]);
          resolve(answer);
        },
        (thrown: unknown) => {
          end();
          reject(thrown);
        },
      );
    });
  };

  const patiently = async (order: Invocation, subject: string, body: Uint8Array, options: CallOptions): Promise<CallReply> => {
    const until = performance.now() + waitOf(order);
    for (;;) {
      try {
        return await send(order, subject, body, options);
      } catch (thrown) {
        const isAbsent = thrown instanceof Fault && thrown.name === "Unavailable" && thrown.details?.["absent"] === true;
        if (order.retriesAbsent !== true || !isAbsent || isAborted(order.signal) || performance.now() + RETRY_MS > until) throw thrown;
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
        if (order.signal !== undefined && isAborted(order.signal)) throw cancelledBy(order.signal);
      }
    }
  };

  /** The body as it goes: small, or the claim check for one that is stored. */
  const store = async (order: Invocation): Promise<{ readonly small: Uint8Array; readonly claim?: string }> => {
    const { account, callee, body, signal, onProgress } = order;
    const progress = onProgress && ((done: number, total: number) => onProgress("up", done, total));
    if (body instanceof Uint8Array) {
      if (body.length <= BODY_LIMIT) return { small: body };
      if (callee === undefined) throw tooLargeInline();
      return { small: NOTHING, claim: await putBody(caller, account, body, { signal, progress }) };
    }
    const parts = partsFrom(body.pieces);
    const first: Uint8Array[] = [];
    let size = 0;
    try {
      while (size <= BODY_LIMIT) {
        const next = await parts.next();
        if (next.done === true) return { small: first.length === 1 ? (first[0] ?? NOTHING) : Buffer.concat(first, size) };
        first.push(next.value);
        size += next.value.length;
      }
      if (callee === undefined) throw tooLargeInline();
    } catch (thrown) {
      await parts.return();
      throw thrown;
    }
    const all = async function* () {
      try {
        for (let part = first.shift(); part !== undefined; part = first.shift()) yield part;
        yield* parts;
      } finally {
        await parts.return();
      }
    };
    const claim = await putStream(caller, account, all(), { signal, progress, total: body.bytes });
    order.onStored?.();
    return { small: NOTHING, claim };
  };

  /** The reply as it came: perhaps a claim check. */
  const exchange = async (order: Invocation): Promise<CallReply> => {
    const { account, callee, signal } = order;
    if (signal?.aborted === true) throw cancelledBy(signal);
    const subject = callee === undefined ? SUBJECT.inline(account) : SUBJECT.fn(account, callee.name, callee.qualifier);
    const headers = headersOf(order);
    const { small, claim } = await store(order);
    if (claim !== undefined) headers[BODY_HEADER] = claim;
    const patience = patienceOf(order, ports.bus);
    const options: CallOptions = {
      ...(hasAny(headers) && { headers }),
      ...patience,
      keptMs: Math.min(waitOf(order), patience.timeoutMs),
      redeems: callee !== undefined,
      ...(order.onReplySubject !== undefined && { onReplySubject: order.onReplySubject }),
    };
    if (claim !== undefined && signal !== undefined && isAborted(signal)) {
      dropBody(caller, account, claim);
      throw cancelledBy(signal);
    }
    const reply = await patiently(order, subject, small, options).catch((thrown: unknown) => {
      const fault = Fault.from(thrown);
      // Where something may run, it may still need its body; after an answer nothing does.
      const isOver = fault.details?.["undelivered"] === true || fault.details?.["headers"] !== undefined;
      if (claim !== undefined && isOver) dropBody(caller, account, claim);
      throw fault.details?.["overdue"] === true ? overdue(fault, patience.timeoutMs) : fault;
    });
    const check = reply.headers[BODY_HEADER];
    if (check === undefined) return reply;
    try {
      await order.onLargeResult?.(parseBody(check)?.bytes ?? 0);
    } catch (thrown) {
      dropBody(caller, account, check);
      throw thrown;
    }
    return reply;
  };

  const readingOf = ({ signal, onProgress }: Invocation) => ({
    signal,
    progress: onProgress && ((done: number, total: number) => onProgress("down", done, total)),
  });

  return {
    async invoke(order) {
      const reply = await exchange(order);
      const check = reply.headers[BODY_HEADER];
      if (check === undefined) return reply;
      return { body: await getBody(caller, order.account, check, readingOf(order)), headers: reply.headers };
    },
    async open(order) {
      const { body, headers } = await exchange(order);
      const check = headers[BODY_HEADER];
      if (check === undefined) return { body, headers, large: undefined };
      return { body: NOTHING, headers, large: await openBody(caller, order.account, check, readingOf(order)) };
    },
    async settled() {
      while (cancels.size > 0) await Promise.all(cancels);
    },
  };
}

const tooLargeInline = (): Fault =>
  new Fault("PayloadTooLarge", `code and event are more than the ${BODY_LIMIT} bytes that fit into one request`);

const waitOf = (order: Invocation): number => order.deadlineMs ?? LIMITS.waitForPlace.value;

/**
 * How long to wait for the reply. The platform answers every call by itself, so this is only for calls that nobody can speak for any
 * more. Where the call names no limit, the function's own counts, and is asked for only when a call lasts long.
 */
function patienceOf(order: Invocation, bus: Bus | undefined): Pick<CallOptions, "timeoutMs" | "more"> {
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

function overdue(fault: Fault, waitedMs: number): Fault {
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

function headersOf(order: Invocation): Record<string, string> {
  const headers: Record<string, string> = { ...order.headers };
  if (order.trace === true) headers["Pilot-Trace"] = "1";
  if (order.deadlineMs !== undefined) headers["Pilot-Deadline"] = String(order.deadlineMs);
  if (order.timeoutMs !== undefined) headers["Pilot-Timeout"] = String(order.timeoutMs);
  if (order.memoryMb !== undefined) headers["Pilot-Memory"] = String(order.memoryMb);
  if (order.runtime !== undefined) headers["Pilot-Runtime"] = order.runtime;
  return headers;
}

function hasAny(headers: Readonly<Record<string, string>>): boolean {
  for (const _ in headers) return true;
  return false;
}

/** Asked anew each time: it changes while one waits. */
const isAborted = (signal: StopSignal | undefined): boolean => signal?.aborted === true;

const cancelledBy = (signal: StopSignal): Fault =>
  signal.reason instanceof Fault ? signal.reason : new Fault("Cancelled", "the caller cancelled the call", undefined, signal.reason);
