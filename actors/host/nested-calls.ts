/**
 * Calls of running functions, from the moment they are asked for until a keeper or a container has them.
 *
 * N1  The host owns them. A frontend is only asked what the call is, so that the question may be lost, and be repeated; then
 *     HandedCalls keeps the call and speaks for it.
 * N2  Nothing is placed before the answer, and after it by this host alone: asking twice runs nothing twice. Where a container is
 *     idle here it runs there (near.ts), else its keeper places it.
 */
import { decode, joinHead } from "../../protocol/codec.ts";
import { Fault, isErrorName } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { type AskedCall, type HandedCall, resolvedCall } from "../../protocol/messages/call.ts";
import { type BackSubject, SUBJECT } from "../../protocol/subjects.ts";
import type { Bus, Message } from "../kit/bus.ts";
import type { Clock } from "../kit/ports.ts";
import type { Counters } from "./counters.ts";
import type { HandedCalls } from "./handed.ts";
import type { HandedPlace, HandedRoom } from "./handed-room.ts";
import type { OwnHead } from "./owned-call.ts";

/** What a running function asks for. */
export interface NestedCall {
  readonly account: string;
  readonly function: string;
  readonly qualifier: string | undefined;
  readonly headers: Record<string, string>;
  /** Functions above it, outermost first. */
  readonly chain: string[];
  readonly body: Uint8Array;
  /** Where its answer goes. */
  readonly reply: string;
  /** Where a frontend of a release that knows no questions refuses them. */
  readonly notKnownAt: string;
}

interface Asking {
  readonly place: HandedPlace;
  readonly call: NestedCall;
  readonly receivedAt: number;
  /** Monotonic: until then it may wait for a place. */
  readonly waitUntil: number;
  hop: number;
  /** Monotonic: when the question is repeated, unless it was answered. */
  askAt: number;
}

/** A question of which nothing was heard for this long was lost, or lies with a frontend that died. */
const SILENCE_MS = 500;
/** After this long a frontend or keeper is looked for again where there was none. */
const RETRY_MS = 50;
const NOTHING = new Uint8Array(0);

export interface NestedCallsPorts {
  readonly host: string;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly counters: Counters;
  readonly room: HandedRoom;
  readonly handed: HandedCalls;
  /** Runs it in an idle container of this host; false: there is none. */
  runHere(head: OwnHead, number: number, body: Uint8Array, reply: string): boolean;
  /** It was not placed, and will not be. */
  failed(reply: string, fault: Fault): void;
}

export class NestedCalls {
  readonly #ports: NestedCallsPorts;
  readonly #asking = new Map<number, Asking>();

  constructor(ports: NestedCallsPorts) {
    this.#ports = ports;
  }

  /** Calls of which no frontend has said yet what they are. */
  get size(): number {
    return this.#asking.size;
  }

  /** Takes responsibility for a call. */
  place(call: NestedCall): void {
    const { clock, room, failed } = this.#ports;
    const place = room.take(call.body.length);
    if (place instanceof Fault) return failed(call.reply, place);
    const asking: Asking = {
      place,
      call: { ...call, body: call.body.slice() },
      receivedAt: clock.epoch(),
      waitUntil: clock.now() + LIMITS.waitForPlace.value,
      hop: 0,
      askAt: 0,
    };
    this.#asking.set(place.number, asking);
    this.#ask(asking);
  }

  /** What came on a back subject that is of no handed call: an answer, an error instead of one, or the word that no frontend is there. */
  cameBack(back: BackSubject, message: Message): void {
    const asking = this.#asking.get(back.number);
    // An older question may be answered all the same: any answer is as good.
    if (asking === undefined) return;
    if (message.status === 503) {
      if (back.hop === asking.hop) this.#later(asking, "no frontend answers");
      return;
    }
    const error = message.header("Pilot-Error");
    if (error !== undefined) {
      this.#fail(asking, new Fault(isErrorName(error) ? error : "Internal", message.header("Nats-Service-Error") ?? error));
      return;
    }
    this.#resolved(asking, message.body);
  }

  /** A frontend of an earlier release got the question: it gets the whole call instead, and is its owner then. */
  notKnown(number: number): void {
    const asking = this.#asking.get(number);
    if (asking === undefined) return;
    this.#end(asking);
    const { account, function: name, qualifier, headers, chain, body, reply } = asking.call;
    const waitedMs = Math.max(0, this.#ports.clock.epoch() - asking.receivedAt);
    const handed: HandedCall = {
      account,
      function: name,
      ...(qualifier !== undefined && { qualifier }),
      headers,
      chain,
      receivedAt: asking.receivedAt,
      waitedMs,
    };
    this.#ports.counters.add("nested.old");
    // Number 0 is nobody's: a 503 on it is told by the inbox behind it.
    this.#ports.bus.send(SUBJECT.desk, joinHead(handed, body), SUBJECT.back(this.#ports.host, 0, 0, reply));
  }

  /** Repeats what was not answered, and ends what has waited too long; to be called a few times a second. */
  sweep(): void {
    const { clock, bus } = this.#ports;
    const now = clock.now();
    for (const asking of this.#asking.values()) {
      if (now > asking.waitUntil) this.#fail(asking, UNAVAILABLE("no frontend answers"));
      else if (now > asking.askAt && bus.connected) {
        this.#ports.counters.add("nested.repeated");
        this.#ask(asking);
      }
    }
  }

  #ask(asking: Asking): void {
    const { bus, clock, host } = this.#ports;
    const { account, function: name, qualifier, headers, notKnownAt } = asking.call;
    asking.hop++;
    asking.askAt = clock.now() + SILENCE_MS;
    const question: AskedCall = {
      asks: true,
      account,
      function: name,
      ...(qualifier !== undefined && { qualifier }),
      headers,
      receivedAt: asking.receivedAt,
    };
    const back = SUBJECT.back(host, asking.place.number, asking.hop, `${notKnownAt}${asking.place.number}`);
    bus.send(SUBJECT.desk, joinHead(question, NOTHING), back);
  }

  #later(asking: Asking, why: string): void {
    const { clock } = this.#ports;
    if (clock.now() + RETRY_MS > asking.waitUntil) return this.#fail(asking, UNAVAILABLE(why));
    const { hop } = asking;
    clock.after(RETRY_MS, () => {
      if (this.#asking.get(asking.place.number) === asking && asking.hop === hop) this.#ask(asking);
    });
  }

  #resolved(asking: Asking, answer: Uint8Array): void {
    const { clock, counters, handed } = this.#ports;
    const { chain, body, reply } = asking.call;
    let head: ReturnType<typeof resolvedCall.parse>["resolved"];
    try {
      head = resolvedCall.parse(decode(answer)).resolved;
    } catch (thrown) {
      return this.#fail(asking, Fault.from(thrown));
    }
    this.#asking.delete(asking.place.number);
    counters.add("nested.resolved");
    const waitMs = Math.max(0, Math.min(head.waitMs, asking.waitUntil - clock.now()));
    const own: OwnHead = { ...head, waitMs, chain };
    if (!this.#ports.runHere(own, asking.place.number, body, reply)) return handed.placeNested(asking.place, own, body, reply);
    counters.add("nested.here");
    asking.place.leave();
  }

  #fail(asking: Asking, fault: Fault): void {
    this.#end(asking);
    this.#ports.failed(asking.call.reply, fault);
  }

  #end({ place }: Asking): void {
    this.#asking.delete(place.number);
    place.leave();
  }
}

const UNAVAILABLE = (why: string): Fault => new Fault("Unavailable", why, { retryAfterMs: 1_000 });
