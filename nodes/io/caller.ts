/**
 * Calls from a plain connection: one subscription and a map serve all replies (an inbox multiplexer of our own,
 * about twice as quick as the client library's request()).
 *
 * K1  No call has a timer of its own: one clock looks at them, and only when the first may be overdue.
 * K2  While the connection is away nothing is given to it, since what it buffers may be lost unsaid: calls are kept here, bounded.
 * K3  What was sent before the connection went stays open: its reply may still come, on the same subject.
 */
import { setMaxListeners } from "node:events";
import { type NatsConnection, headers as newHeaders } from "nats";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { claimInbox } from "../../protocol/subjects.ts";
import { systemRandom } from "./clock.ts";
import { replyFault, unsent } from "./reply-fault.ts";

export interface CallReply {
  /** A view: copy it if it is kept long. */
  readonly body: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
}

export interface CallOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** How long to wait for the reply, in ms, to about 20 ms. */
  readonly timeoutMs: number;
  /** How long it may be kept while the connection is away; default: as long as that. The time to wait for the reply begins when it is sent. */
  readonly keptMs?: number;
  /** Asked once when that time is over: how many ms more to wait; 0 or less ends the call. */
  readonly more?: () => Promise<number>;
  readonly signal?: AbortSignal | undefined;
  /** True: the reply may be a claim check for a large result, which this caller redeems. Default false. */
  readonly redeems?: boolean;
  /** Told, before the call is sent, the subject on which its reply is waited for: by it the call can be cancelled. */
  readonly onReplySubject?: (subject: string) => void;
}

export interface Caller {
  /**
   * Rejects with the Fault in the reply's headers; Unavailable when nobody listens or no reply came in time;
   * Throttled when LIMITS.callsOutstanding are open; Cancelled when the signal fires. Reply headers of a failure are in the
   * Fault's details under `headers`. Where it is certain that nothing ran, `undelivered` is true there; where nobody listened, `absent`; where the
   * connection was away meanwhile, `wasAway`; where no reply came in time, `overdue`.
   */
  call(subject: string, body: Uint8Array, options: CallOptions): Promise<CallReply>;
}

/** What becomes of calls when the connection is away. */
export interface AwayPolicy {
  /** Of new ones: `wait` keeps them until it is back, as long as they may wait; `fail` ends them at once as Unavailable. Default wait. */
  readonly calls?: "wait" | "fail";
  /** Of those under way: `wait` for their replies; `fail` ends them at once as InstanceLost. Default wait. */
  readonly underWay?: "wait" | "fail";
  /** True: calls of one turn of the event loop go to the broker in one write, for who makes many at a time. Default false. */
  readonly gathers?: boolean;
}

export interface OwnCaller extends Caller {
  /** Forgets the call whose reply comes to that subject: it never settles. */
  drop(reply: string): void;
  /** Calls that wait for a reply. */
  readonly open: number;
  /** The connection went away, or is back: to be told by whoever watches it. */
  away(): void;
  back(): void;
  /** Ends every open call with this, and every further one. */
  end(fault: Fault): void;
  /** Resolves when no call is open. */
  idle(): Promise<void>;
}

interface Pending {
  expires: number;
  more: (() => Promise<number>) | undefined;
  readonly resolve: (reply: CallReply) => void;
  readonly reject: (fault: Fault) => void;
  forget: (() => void) | undefined;
  /** Set while it is kept for a connection that is away. */
  kept: { readonly bytes: number; readonly timeoutMs: number; send(): void } | undefined;
  wasAway: boolean;
}

const LOOK_MS = 20;
const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze({});

export function openCaller(nc: NatsConnection, prefix: string, policy: AwayPolicy = {}): OwnCaller {
  const own = `${prefix}.${systemRandom.id(16)}`;
  const inbox = `${own}.`;
  const redeeming = claimInbox(own).slice(inbox.length);
  const pending = new Map<string, Pending>();
  const kept = { calls: 0, bytes: 0 };
  let count = 0;
  let listening = false;
  let isAway = false;
  let ended: Fault | undefined;
  let clock: NodeJS.Timeout | undefined;
  /** No open call is overdue before this. */
  let earliest = Number.POSITIVE_INFINITY;
  let whenIdle: (() => void)[] = [];
  /** Calls of this turn of the event loop that are not sent yet. */
  let gathered: (() => void)[] = [];

  const take = (token: string): Pending | undefined => {
    const call = pending.get(token);
    if (call === undefined) return undefined;
    pending.delete(token);
    call.forget?.();
    if (call.kept !== undefined) release(call, call.kept);
    if (pending.size === 0 && whenIdle.length > 0) {
      for (const resolve of whenIdle) resolve();
      whenIdle = [];
    }
    return call;
  };

  const release = (call: Pending, { bytes }: { readonly bytes: number }): void => {
    kept.calls -= 1;
    kept.bytes -= bytes;
    call.kept = undefined;
  };

  const keep = (call: Pending, bytes: number, timeoutMs: number, send: () => void): void => {
    call.kept = { bytes, timeoutMs, send };
    call.wasAway = true;
    kept.calls += 1;
    kept.bytes += bytes;
  };

  const sendGathered = (): void => {
    const all = gathered;
    gathered = [];
    for (const go of all) go();
  };

  const listen = () => {
    listening = true;
    nc.subscribe(`${inbox}>`, {
      callback(error, msg) {
        if (error !== null) return;
        const call = take(msg.subject.slice(inbox.length));
        if (call === undefined) return;
        try {
          if (msg.headers === undefined) {
            call.resolve({ body: msg.data, headers: NO_HEADERS });
            return;
          }
          const headers: Record<string, string> = {};
          for (const name of msg.headers.keys()) headers[name] = msg.headers.get(name);
          const fault = replyFault(msg.headers.code, headers, msg.data);
          if (fault === undefined) call.resolve({ body: msg.data, headers });
          else call.reject(fault);
        } catch (thrown) {
          call.reject(new Fault("Internal", "the reply cannot be read", undefined, thrown));
        }
      },
    });
  };

  const overdue = (token: string, call: Pending): void => {
    const { more } = call;
    if (more === undefined || call.kept !== undefined) {
      const details = { overdue: true, ...(call.kept !== undefined && { undelivered: true }), ...(call.wasAway && { wasAway: true }) };
      take(token);
      call.reject(new Fault("Unavailable", "no reply came in time", details));
      return;
    }
    call.more = undefined;
    call.expires = Number.POSITIVE_INFINITY;
    const goOn = (ms: number): void => {
      call.expires = performance.now() + Math.max(0, ms);
      earliest = Math.min(earliest, call.expires);
    };
    more().then(goOn, () => goOn(0));
  };

  const look = () => {
    if (pending.size === 0) {
      clearInterval(clock);
      clock = undefined;
      earliest = Number.POSITIVE_INFINITY;
      return;
    }
    const now = performance.now();
    if (now < earliest) return;
    earliest = Number.POSITIVE_INFINITY;
    for (const [token, call] of pending) {
      if (call.expires <= now) overdue(token, call);
      else if (call.expires < earliest) earliest = call.expires;
    }
  };

  const refusal = (bytes: number): Fault | undefined => {
    if (ended !== undefined) return ended;
    if (pending.size >= LIMITS.callsOutstanding.value)
      return new Fault("Throttled", `this client has ${pending.size} calls open`, { retryAfterMs: 100, undelivered: true });
    if (!isAway) return undefined;
    if (policy.calls === "fail") return new Fault("Unavailable", "the connection to the broker is away", { undelivered: true });
    if (kept.calls < LIMITS.callsHeld.value && kept.bytes + bytes <= LIMITS.callsHeldBytes.value) return undefined;
    return new Fault("Unavailable", "the connection to the broker is away, and as many calls wait for it as may", { undelivered: true });
  };

  return {
    call(subject, body, { headers, timeoutMs, keptMs = timeoutMs, more, signal, redeems, onReplySubject }) {
      if (signal?.aborted) return Promise.reject(new Fault("Cancelled", "the caller cancelled the call", { undelivered: true }));
      const refused = refusal(body.length);
      if (refused !== undefined) return Promise.reject(refused);
      if (!listening) listen();
      const token = redeems === true ? `${redeeming}.${(count++).toString(36)}` : (count++).toString(36);
      const reply = inbox + token;
      onReplySubject?.(reply);
      return new Promise((resolve, reject) => {
        const expires = performance.now() + (isAway ? keptMs : timeoutMs);
        const call: Pending = { expires, more, resolve, reject, forget: undefined, kept: undefined, wasAway: false };
        if (signal !== undefined) {
          const abort = () => {
            // The signal forgets it by itself; to look for it among thousands would take long.
            call.forget = undefined;
            take(token)?.reject(new Fault("Cancelled", "the caller cancelled the call"));
          };
          // One signal may end any number of calls.
          setMaxListeners(0, signal);
          signal.addEventListener("abort", abort, { once: true });
          call.forget = () => signal.removeEventListener("abort", abort);
        }
        const send = () => {
          try {
            if (headers === undefined) nc.publish(subject, body, { reply });
            else {
              const wire = newHeaders();
              for (const name in headers) wire.set(name, headers[name] as string);
              nc.publish(subject, body, { reply, headers: wire });
            }
          } catch (error) {
            take(token)?.reject(unsent(error));
          }
        };
        pending.set(token, call);
        if (expires < earliest) earliest = expires;
        clock ??= setInterval(look, LOOK_MS);
        const go = (): void => {
          // It may have ended meanwhile, or the connection have gone.
          if (pending.get(token) !== call) return;
          if (isAway) keep(call, body.length, timeoutMs, send);
          else send();
        };
        if (policy.gathers !== true) go();
        else if (gathered.push(go) === 1) setImmediate(sendGathered);
      });
    },
    drop: (reply) => void take(reply.slice(inbox.length)),
    get open() {
      return pending.size;
    },
    away() {
      isAway = true;
      sendGathered();
      for (const [token, call] of pending) {
        call.wasAway = true;
        if (policy.underWay === "fail" && call.kept === undefined)
          take(token)?.reject(new Fault("InstanceLost", "the connection to the broker went away while the call was under way"));
      }
    },
    back() {
      isAway = false;
      for (const call of [...pending.values()]) {
        if (call.kept === undefined) continue;
        const { send, timeoutMs } = call.kept;
        release(call, call.kept);
        // Later than what it had: `earliest` stays a lower bound.
        call.expires = performance.now() + timeoutMs;
        send();
      }
    },
    end(fault) {
      ended ??= fault;
      for (const token of [...pending.keys()]) take(token)?.reject(fault);
    },
    idle: () => (pending.size === 0 ? Promise.resolve() : new Promise((resolve) => whenIdle.push(resolve))),
  };
}
