/** One call inside a host: a plain object, since there may be a hundred thousand of them a second. */
import type { BodyRef } from "../../protocol/bodies.ts";
import type { Fault } from "../../protocol/errors.ts";
import type { CallHead } from "../../protocol/messages/call.ts";
import type { Grant } from "../../protocol/messages/host.ts";
import type { CallRecord, ColdCause, Path, Rung } from "../../protocol/vocabulary.ts";
import type { CallStamp } from "./call-stamp.ts";
import type { Slot } from "./slot.ts";

const NOTHING = new Uint8Array(0);

/** Who placed a call here, and under which number: from the back subject. */
export interface Placer {
  readonly node: string;
  readonly number: number;
}

export class Call {
  readonly slot: Slot;
  /** Where the answer goes; "" for nowhere. */
  readonly reply: string;
  /** Emptied when the call has been sent into a container. */
  body: Uint8Array;
  readonly bytesIn: number;
  /** The placement, for calls that were ordered; undefined on the direct path. */
  readonly head: CallHead | undefined;
  readonly placer: Placer | undefined;
  /** The grant under which a direct call came. */
  readonly grant: Grant | undefined;
  /** Monotonic. */
  readonly arrivedAt: number;
  /** Ms since 1970. */
  readonly receivedAt: number;
  /** Monotonic: until when it may wait for a container. */
  waitUntil: number;
  timeoutMs: number;
  trace: boolean;
  traceparent: string | undefined = undefined;
  // while and after it runs
  instance = "";
  container = "";
  /** Size of the instance it ran in. */
  instanceMb = 0;
  rung: Rung = "hot";
  coldCause: ColdCause | undefined = undefined;
  /** Ms since 1970; 0 before. */
  startedAt = 0;
  endedAt = 0;
  bytesOut = 0;
  error: string | undefined = undefined;
  message: string | undefined = undefined;
  memoryPeakBytes: number | undefined = undefined;
  cpuMicroseconds: number | undefined = undefined;
  logBytes = 0;
  /** It ran before, and its instance was lost under it. */
  isRerun = false;
  /** Set when it was cancelled while it stood ahead in a container. */
  cancelled: Fault | undefined = undefined;
  /** The keeper was told of this direct call. */
  toldLong = false;
  readonly #stamp: CallStamp;
  readonly #count: number;

  constructor(of: {
    slot: Slot;
    reply: string;
    body: Uint8Array;
    head: CallHead | undefined;
    placer: Placer | undefined;
    grant: Grant | undefined;
    arrivedAt: number;
    receivedAt: number;
    waitUntil: number;
    timeoutMs: number;
    trace: boolean;
    stamp: CallStamp;
  }) {
    this.slot = of.slot;
    this.reply = of.reply;
    this.body = of.body;
    this.bytesIn = of.head?.bodyRef?.bytes ?? of.body.length;
    this.head = of.head;
    this.placer = of.placer;
    this.grant = of.grant;
    this.arrivedAt = of.arrivedAt;
    this.receivedAt = of.receivedAt;
    this.waitUntil = of.waitUntil;
    this.timeoutMs = of.timeoutMs;
    this.trace = of.trace;
    this.#stamp = of.stamp;
    this.#count = of.head === undefined ? of.stamp.next() : 0;
  }

  get id(): string {
    return this.head?.call ?? this.#stamp.text(this.receivedAt, this.#count);
  }

  get path(): Path {
    return this.head === undefined ? "direct" : (this.head.place?.by ?? "frontend");
  }

  /** It may run again when its instance is lost under it. */
  get isIdempotent(): boolean {
    return this.head?.idempotent ?? this.grant?.idempotent ?? false;
  }

  /** Where its body is, when that is too large for a message: it is read when a container has been found. */
  get claim(): BodyRef | undefined {
    return this.head?.bodyRef;
  }

  /** What of the body is here while the call waits. */
  get bytesHeld(): number {
    return this.claim === undefined ? this.bytesIn : 0;
  }

  get attempt(): number {
    return this.head?.attempt ?? 1;
  }

  /** For the `call` frame of a direct call. */
  stampedExtra(deadline: number): Uint8Array {
    return this.#stamp.extra(deadline, this.receivedAt, this.#count);
  }

  dropBody(): void {
    this.body = NOTHING;
  }

  toRecord(host: string): CallRecord {
    return {
      id: this.id,
      account: this.slot.account,
      function: this.slot.function,
      version: this.slot.version,
      rung: this.rung,
      path: this.path,
      class: this.head?.class ?? this.grant?.class ?? "rare",
      host,
      instance: this.instance,
      container: this.container,
      memoryMb: this.slot.memoryMb,
      attempt: this.attempt,
      ...(this.coldCause !== undefined && { coldCause: this.coldCause }),
      ...(this.head?.place?.reason !== undefined && { reason: this.head.place.reason }),
      receivedAt: this.receivedAt,
      startedAt: this.startedAt,
      endedAt: this.endedAt,
      ...(this.error !== undefined && { error: this.error }),
      ...(this.message !== undefined && { message: this.message }),
      bytesIn: this.bytesIn,
      bytesOut: this.bytesOut,
      ...(this.memoryPeakBytes !== undefined && { memoryPeakBytes: this.memoryPeakBytes }),
      ...(this.cpuMicroseconds !== undefined && { cpuMicroseconds: this.cpuMicroseconds }),
    };
  }
}
