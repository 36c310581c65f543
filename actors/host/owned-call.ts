/** One call that this host owns and does not run: its messages, and what is remembered between them. A plain object: there may be many. */
import { joinHead } from "../../protocol/codec.ts";
import type { CallHead, HandedCall } from "../../protocol/messages/call.ts";
import { SUBJECT } from "../../protocol/subjects.ts";
import type { Clock } from "../kit/ports.ts";
import type { HandedPlace } from "./handed-room.ts";

/** What a keeper is told of a call, less whose it is. */
export type OwnHead = Omit<CallHead, "owner" | "number">;

/** Which life of which host has it. */
export interface TakenBy {
  readonly host: string;
  readonly epoch: string;
}

/** A call of which nothing was heard for this long may have been lost on the way. */
const PROBE_MS = 500;
const NOTHING = new Uint8Array(0);

export class OwnedCall {
  readonly place: HandedPlace;
  readonly reply: string;
  /** A running function's: it goes to keepers only. */
  readonly isNested: boolean;
  /** Monotonic. */
  waitUntil: number;
  readonly #clock: Clock;
  /** Undefined once it cannot be needed again. */
  #body: Uint8Array | undefined;
  head: CallHead;
  keeper = "";
  /** Of the back subject: what comes back for an older one is of no concern. */
  hop = 0;
  /** Monotonic: when its keeper is asked about it, unless something is heard before. */
  probeAt = Number.POSITIVE_INFINITY;
  /** Since it was last sent whole. */
  wasProbed = false;
  taken: TakenBy | undefined = undefined;
  /** Monotonic: when it was handed on. */
  readonly since: number;

  constructor(of: {
    clock: Clock;
    place: HandedPlace;
    head: OwnHead;
    body: Uint8Array;
    reply: string;
    isNested: boolean;
    owner: TakenBy;
  }) {
    const { clock, place, head, owner } = of;
    this.#clock = clock;
    this.place = place;
    this.head = { ...head, owner: owner.host, ownerEpoch: owner.epoch, number: place.number };
    this.since = clock.now();
    this.waitUntil = this.since + head.waitMs;
    this.#body = of.body;
    this.reply = of.reply;
    this.isNested = of.isNested;
  }

  /** Undefined once nobody can need it again. */
  get body(): Uint8Array | undefined {
    return this.#body;
  }

  /** The subject on which its keeper answers this host, and a host its caller. */
  get back(): string {
    return SUBJECT.back(this.head.owner, this.place.number, this.hop, this.reply);
  }

  /** The call itself, to be sent now; undefined when its body is not there any more. */
  whole(): Uint8Array | undefined {
    if (this.#body === undefined) return undefined;
    this.wasProbed = false;
    this.#sentAgain();
    return joinHead({ ...this.head, waitMs: Math.max(0, this.waitUntil - this.#clock.now()) }, this.#body);
  }

  /** The question whether its keeper has it at all. One that has it, and no host for it yet, says nothing. */
  probe(): Uint8Array {
    this.wasProbed = true;
    this.#sentAgain();
    return joinHead({ ...this.head, probe: true }, NOTHING);
  }

  /** From here on a further attempt, since the host is lost that had it: it may wait for a place as long as the first did. */
  rerun(): void {
    this.waitUntil = this.#clock.now() + this.head.waitMs;
    this.again();
  }

  /** From here on a further attempt. */
  again(): void {
    this.taken = undefined;
    this.head = { ...this.head, attempt: this.head.attempt + 1 };
  }

  /** As if it came from its caller now, for a frontend. */
  anew(): HandedCall {
    const { account, function: name, receivedAt, trace, traceparent } = this.head;
    const waitedMs = Math.max(0, this.#clock.epoch() - receivedAt);
    const headers: Record<string, string> = {
      "Pilot-Deadline": String(Math.max(1, Math.round(waitedMs + this.waitUntil - this.#clock.now()))),
      ...(trace && { "Pilot-Trace": "1" }),
      ...(traceparent !== undefined && { traceparent }),
    };
    return { account, function: name, headers, receivedAt, waitedMs };
  }

  dropBody(): void {
    this.#body = undefined;
    this.place.dropBody();
  }

  #sentAgain(): void {
    this.hop++;
    this.probeAt = this.#clock.now() + PROBE_MS;
  }
}
