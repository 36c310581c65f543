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
import { SUBJECT } from "../../protocol/subjects.ts";
import { BODY_HEADER, dropBody, getBody, type LargeBody, openBody } from "./bodies.ts";
import type { CallOptions, CallReply, OwnCaller } from "./caller.ts";
import { cancelRun } from "./cancel.ts";
import { cancelledBy, headersOf, type Invocation, isAborted, overdue, patienceOf, waitOf } from "./invocation.ts";
import { sendAhead } from "./outgoing.ts";

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

  /** The reply as it came: perhaps a claim check. */
  const exchange = async (order: Invocation): Promise<CallReply> => {
    const { account, callee, signal } = order;
    if (signal?.aborted === true) throw cancelledBy(signal);
    const subject = callee === undefined ? SUBJECT.inline(account) : SUBJECT.fn(account, callee.name, callee.qualifier);
    const headers = headersOf(order);
    const { small, claim } = await sendAhead(caller, order);
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

function hasAny(headers: Readonly<Record<string, string>>): boolean {
  for (const _ in headers) return true;
  return false;
}
