/**
 * What running functions ask of their host: to call another function, to publish, to keep a value. Done in the
 * account's name, bounded, and only while the call that asks is running.
 */
import { BODY_HEADER, type BodyRef, formatBody, parseBody } from "../../protocol/bodies.ts";
import { Fault, isErrorName } from "../../protocol/errors.ts";
import { type ContextRequest, FRAME } from "../../protocol/frames.ts";
import { BODY_LIMIT, LIMITS } from "../../protocol/limits.ts";
import { isAlias, isName, isVersion } from "../../protocol/names.ts";
import { claimInbox, inboxOf, SUBJECT } from "../../protocol/subjects.ts";
import type { IncomingFrame } from "../instance/sandbox.ts";
import type { Bus, Message, Subscription } from "../kit/bus.ts";
import type { Call } from "./call.ts";
import type { Container } from "./container.ts";
import type { Counters } from "./counters.ts";
import type { Fetch, LargeBodies } from "./large-bodies.ts";
import type { NestedCall } from "./nested-calls.ts";
import type { DataStore } from "./ports.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const NOTHING = new Uint8Array(0);
/** Begins the last word of the inbox on which frontends of earlier releases refuse questions. */
const NOT_KNOWN = "old";
const DATA_KEY = /^[-/_=.a-zA-Z0-9]+$/;

/** A nested call that waits for its answer. */
interface Nested {
  readonly container: Container;
  readonly call: Call;
  readonly id: number;
  /** Its large body, once that is in the store. */
  sent: BodyRef | undefined;
}

export interface RequestsPorts {
  readonly host: string;
  readonly epoch: string;
  readonly bus: Bus;
  readonly counters: Counters;
  readonly data: DataStore;
  readonly bodies: LargeBodies;
  /** Takes responsibility for a call of a function. */
  place(call: NestedCall): void;
  /** A frontend of an earlier release refused the question with that number. */
  notKnown(number: number): void;
  /** The container breaks the rules of its channel and must end. */
  violated(container: Container, what: string): void;
}

export class Requests {
  readonly #ports: RequestsPorts;
  readonly #inbox: string;
  readonly #nested = new Map<number, Nested>();
  /** Large answers that are being read, and for whom. */
  readonly #coming = new Map<Fetch, Container>();
  readonly #subscription: Subscription;
  #next = 1;

  constructor(ports: RequestsPorts) {
    this.#ports = ports;
    this.#inbox = claimInbox(`${inboxOf("host", ports.host)}.nested${ports.epoch}`);
    this.#subscription = ports.bus.listen(`${this.#inbox}.*`, {}, (message) => this.#answered(message));
  }

  /** A `request` frame. Everything in it is the function's and hostile. */
  request(container: Container, frame: IncomingFrame): void {
    const { call } = container;
    const asked = readRequest(frame.extra);
    if (asked === undefined) return this.#reject(container, frame.id, new Fault("BadRequest", "the request of the function is malformed"));
    if (call === undefined || asked.call !== container.number) {
      this.#ports.counters.add("requests.late");
      return this.#reject(container, frame.id, new Fault("BadRequest", "the call that asks has ended"));
    }
    if (container.requests >= LIMITS.requestsInFlight.value) {
      this.#ports.counters.add("requests.full");
      return this.#reject(container, frame.id, new Fault("Throttled", `more than ${LIMITS.requestsInFlight.value} requests are open`));
    }
    const most = asked.kind === "call" ? LIMITS.largeBody.value : BODY_LIMIT;
    if (frame.payload.length > most) {
      this.#refuse(container, frame.id, new Fault("PayloadTooLarge", `${frame.payload.length} bytes; at most ${most} can be sent`));
      return;
    }
    try {
      switch (asked.kind) {
        case "call":
          this.#call(container, call, frame, asked.function);
          return;
        case "publish":
          this.#publish(call, asked.subject, frame.payload);
          this.#answer(container, frame.id, NOTHING);
          return;
        default:
          this.#data(container, call, frame, asked);
      }
    } catch (thrown) {
      const fault = Fault.from(thrown);
      this.#ports.counters.hit(fault);
      this.#refuse(container, frame.id, fault);
    }
  }

  /** The call of a container has ended: nothing it asked for is waited for any longer. */
  left(container: Container): void {
    container.requests = 0;
    for (const [number, nested] of this.#nested) if (nested.container === container) this.#nested.delete(number);
    for (const [fetch, wanting] of this.#coming) if (wanting === container) fetch.end();
  }

  close(): Promise<void> {
    return this.#subscription.stop();
  }

  #call(container: Container, call: Call, frame: IncomingFrame, target: string): void {
    const { account } = call.slot;
    const [name = "", qualifier, more] = target.split(/[.:]/);
    if (!isName(name) || more !== undefined || (qualifier !== undefined && !isAlias(qualifier) && !isVersion(qualifier))) {
      throw new Fault("BadName", "a function is called as name or name.alias, within the own account");
    }
    const chain = [...(call.head?.chain ?? []), `${account}.${call.slot.function}`];
    if (chain.length > LIMITS.chainDepth.value)
      throw new Fault("ChainTooDeep", `functions call each other more than ${LIMITS.chainDepth.value} deep`, { limit: "chainDepth" });
    const key = `${account}.${name}`;
    const ancestors = chain.filter((above) => above === key).length;
    const cap = name === call.slot.function ? (call.head?.containers ?? call.grant?.containers) : undefined;
    if (cap !== undefined && ancestors >= cap) {
      throw new Fault(
        "Throttled",
        `${name} may have ${cap} containers, and the calls above this one hold them all: it would wait for itself`,
      );
    }
    const number = this.#next++;
    container.requests++;
    this.#nested.set(number, { container, call, id: frame.id, sent: undefined });
    const placed: Omit<NestedCall, "body"> = {
      account,
      function: name,
      qualifier,
      headers: call.traceparent === undefined ? {} : { traceparent: call.traceparent },
      chain,
      reply: `${this.#inbox}.${number}`,
      notKnownAt: `${this.#inbox}.${NOT_KNOWN}`,
    };
    const { payload } = frame;
    if (payload.length <= BODY_LIMIT) return this.#ports.place({ ...placed, body: payload });
    this.#ports.bodies.store(account, payload).then(
      (ref) => {
        const nested = this.#nested.get(number);
        if (nested === undefined) return this.#ports.bodies.drop(account, ref);
        nested.sent = ref;
        this.#ports.place({ ...placed, headers: { ...placed.headers, [BODY_HEADER]: formatBody(ref) }, body: NOTHING });
      },
      (thrown: unknown) => this.failed(placed.reply, Fault.from(thrown)),
    );
  }

  /** True while the nested call that is answered on that inbox has no answer. */
  awaits(reply: string): boolean {
    return this.#nested.has(this.#numberOf(reply));
  }

  /** The nested call that would have been answered on that inbox ends so. */
  failed(reply: string, fault: Fault): void {
    const nested = this.#take(reply);
    if (!nested) return;
    this.#unsend(nested);
    this.#refuse(nested.container, nested.id, fault);
  }

  #answered(message: Message): void {
    const last = message.subject.slice(this.#inbox.length + 1);
    if (last.startsWith(NOT_KNOWN)) return this.#ports.notKnown(Number(last.slice(NOT_KNOWN.length)));
    const nested = this.#take(message.subject);
    if (!nested) return;
    const { container, id } = nested;
    const error = message.header("Pilot-Error");
    const claim = message.header(BODY_HEADER);
    if (error !== undefined || message.status === 503) this.#unsend(nested);
    if (claim !== undefined) this.#fetch(nested, claim);
    else if (message.status === 503) this.#refuse(container, id, new Fault("Unavailable", "no frontend answers"));
    else if (error === undefined) this.#answer(container, id, message.body);
    else this.#refuse(container, id, new Fault(isErrorName(error) ? error : "Internal", message.header("Nats-Service-Error") ?? error));
  }

  /** Its call failed, perhaps before it ran: nobody needs its body any more. */
  #unsend({ call, sent }: Nested): void {
    if (sent !== undefined) this.#ports.bodies.drop(call.slot.account, sent);
  }

  /** The answer is large: it is read before the function has it, and the request stays open meanwhile. */
  #fetch({ container, call, id }: Nested, claim: string): void {
    const { bodies } = this.#ports;
    const { account } = call.slot;
    const ref = parseBody(claim);
    if (ref === undefined) {
      this.#refuse(container, id, new Fault("BodyUnavailable", "the answer names its large body in a form that cannot be read"));
      return;
    }
    container.requests++;
    const fetch = bodies.fetch(account, ref);
    this.#coming.set(fetch, container);
    const settle = (act: () => void): void => {
      this.#coming.delete(fetch);
      if (container.call !== call) {
        fetch.end();
        return bodies.drop(account, ref);
      }
      container.requests--;
      act();
    };
    fetch.body.then(
      (body) => {
        settle(() => {
          bodies.drop(account, ref);
          container.box.send(FRAME.answer, 0, id, NOTHING, body, () => fetch.end());
        });
      },
      (thrown: unknown) => settle(() => this.#refuse(container, id, Fault.from(thrown))),
    );
  }

  /** NaN where it is no inbox of a nested call. */
  #numberOf(inbox: string): number {
    return inbox.startsWith(`${this.#inbox}.`) ? Number(inbox.slice(this.#inbox.length + 1)) : Number.NaN;
  }

  #take(inbox: string): Nested | undefined {
    const number = this.#numberOf(inbox);
    const nested = this.#nested.get(number);
    if (nested === undefined) return undefined;
    this.#nested.delete(number);
    if (nested.container.call !== nested.call) return undefined;
    nested.container.requests--;
    return nested;
  }

  #publish(call: Call, subject: string, payload: Uint8Array): void {
    const tokens = subject.split(".");
    const isFit =
      subject.length > 0 &&
      subject.length <= LIMITS.publishSubject.value &&
      tokens.every((token) => /^[\x21-\x7e]+$/.test(token) && !/[*>]/.test(token));
    if (!isFit)
      throw new Fault(
        "BadRequest",
        `a subject is 1 to ${LIMITS.publishSubject.value} printable characters: words with dots between, without * and >`,
        subject.length > LIMITS.publishSubject.value ? { limit: "publishSubject" } : undefined,
      );
    this.#ports.bus.send(SUBJECT.pub(call.slot.account, subject), payload);
  }

  #data(container: Container, call: Call, frame: IncomingFrame, asked: Extract<ContextRequest, { key: string }>): void {
    const { key } = asked;
    if (!DATA_KEY.test(key) || key.length > LIMITS.dataKey.value || key.startsWith(".") || key.endsWith(".") || key.includes("..")) {
      throw new Fault(
        "BadRequest",
        `a key is 1 to ${LIMITS.dataKey.value} of a-z, A-Z, 0-9 and -/_=. without a dot at either end or two in a row`,
        key.length > LIMITS.dataKey.value ? { limit: "dataKey" } : undefined,
      );
    }
    container.requests++;
    const settle = (act: () => void): void => {
      // The container may meanwhile run another call, which counts its own requests.
      if (container.call !== call) return;
      container.requests--;
      act();
    };
    this.#ask(call.slot.account, asked.kind, key, frame.payload).then(
      (bytes) => settle(() => this.#answer(container, frame.id, bytes)),
      (error: unknown) => settle(() => this.#refuse(container, frame.id, Fault.from(error))),
    );
  }

  async #ask(account: string, kind: "kv.get" | "kv.put" | "kv.delete", key: string, payload: Uint8Array): Promise<Uint8Array> {
    const { data } = this.#ports;
    if (kind === "kv.put") await data.put(account, key, payload.slice());
    else if (kind === "kv.delete") await data.delete(account, key);
    else {
      const value = await data.get(account, key);
      if (value === undefined) throw new Fault("NotFound", "there is no such key");
      return value;
    }
    return NOTHING;
  }

  #answer(container: Container, id: number, payload: Uint8Array): void {
    if (container.state !== "ended") container.box.send(FRAME.answer, 0, id, NOTHING, payload);
  }

  #refuse(container: Container, id: number, fault: Fault): boolean {
    return container.state === "ended" || container.box.send(FRAME.answer, 1, id, NOTHING, encoder.encode(JSON.stringify(fault.toData())));
  }

  /** The answer to a request that should not have been sent. Who sends many and reads none would fill the host's memory. */
  #reject(container: Container, id: number, fault: Fault): void {
    if (!this.#refuse(container, id, fault))
      this.#ports.violated(container, "it sends requests that it may not, and does not read the answers");
  }
}

function readRequest(extra: Uint8Array): ContextRequest | undefined {
  let asked: Record<string, unknown>;
  try {
    asked = JSON.parse(decoder.decode(extra)) as Record<string, unknown>;
  } catch {
    return undefined;
  }
  if (typeof asked !== "object" || asked === null) return undefined;
  const { kind, call } = asked;
  if (typeof call !== "number") return undefined;
  if (kind === "call" && typeof asked["function"] === "string") return { kind, call, function: asked["function"] };
  if (kind === "publish" && typeof asked["subject"] === "string") return { kind, call, subject: asked["subject"] };
  if ((kind === "kv.get" || kind === "kv.put" || kind === "kv.delete") && typeof asked["key"] === "string")
    return { kind, call, key: asked["key"] };
  return undefined;
}
