/** Answers to callers: a result is the bare body; an error is headers and a small JSON body; a trace adds headers. */
import { BODY_HEADER, type BodyRef, formatBody } from "../../protocol/bodies.ts";
import { encode } from "../../protocol/codec.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import type { Refusal } from "../../protocol/messages/call.ts";
import type { Bus } from "../kit/bus.ts";
import { failureBody, failureHeaders, headerLine } from "../kit/failure.ts";
import type { Call } from "./call.ts";
import type { Counters } from "./counters.ts";
import { isUnspoken } from "./unspoken.ts";

/** An answer that could not be sent while the connection was lost. */
interface Late {
  readonly reply: string;
  readonly body: Uint8Array;
  readonly headers: Record<string, string> | undefined;
}

const NOTHING = new Uint8Array(0);

/** After a reconnect callers need a moment until they are back too. */
const CALLERS_RETURN_MS = 500;

export class Replies {
  readonly #bus: Bus;
  readonly #host: string;
  readonly #counters: Counters;
  readonly #isLost: () => boolean;
  #late: Late[] = [];
  #lateBytes = 0;
  #connectedSince: number | undefined = undefined;

  /** `isLost`: true once others have declared this host lost; it answers nobody any more, since they have. */
  constructor(bus: Bus, host: string, counters: Counters, isLost: () => boolean) {
    this.#isLost = isLost;
    this.#bus = bus;
    this.#host = host;
    this.#counters = counters;
  }

  succeed(call: Call, payload: Uint8Array): void {
    if (call.reply !== "") this.#result(call, payload, call.trace ? this.#trace(call) : undefined);
  }

  /** The result is in the store. */
  claim(call: Call, ref: BodyRef): void {
    if (call.reply !== "") this.#result(call, NOTHING, { [BODY_HEADER]: formatBody(ref), ...(call.trace && this.#trace(call)) });
  }

  /** Once this host is declared lost, only where nobody else knows of the call. */
  #result(call: Call, payload: Uint8Array, headers: Record<string, string> | undefined): void {
    if (this.#isLost() && !isUnspoken(call)) return;
    if (this.#bus.connected || this.#isLost()) this.#bus.send(call.reply, payload, undefined, headers);
    else this.#keep(call.reply, payload.slice(), headers);
  }

  fail(call: Call, fault: Fault, stack?: string): void {
    if (call.reply === "") return;
    if (this.#isLost() && isUnspoken(call)) this.alone(call.reply, fault);
    else this.refuse(call.reply, fault, stack, call.trace ? this.#trace(call) : undefined);
  }

  /** An error for a caller whose request never became a call here. */
  refuse(reply: string, fault: Fault, stack?: string, more?: Record<string, string>): void {
    if (this.#isLost()) return;
    const body = bodyOf(fault, stack);
    const headers = failureHeaders(fault, more);
    if (this.#bus.connected) this.#bus.send(reply, body, undefined, headers);
    else this.#keep(reply, body, headers);
  }

  /** An error for a caller of whom nobody else knows, also once this host is declared lost. */
  alone(reply: string, fault: Fault): void {
    this.#bus.send(reply, bodyOf(fault, undefined), undefined, failureHeaders(fault));
  }

  /** The host's no to whoever placed a call: the whole back subject. */
  decline(back: string, refused: Refusal["refused"], reason: string): void {
    this.#bus.send(back, encode({ refused, reason: headerLine(reason) } satisfies Refusal));
  }

  /** True while answers are kept that could not be sent. */
  get hasLate(): boolean {
    return this.#late.length > 0;
  }

  /** Sends what could not be sent while the connection was lost; to be called a few times a second. */
  catchUp(now: number): void {
    if (!this.#bus.connected) this.#connectedSince = undefined;
    else this.#connectedSince ??= now;
    if (this.#late.length === 0 || this.#connectedSince === undefined || now - this.#connectedSince < CALLERS_RETURN_MS) return;
    if (this.#isLost()) return;
    const late = this.#late;
    this.#late = [];
    this.#lateBytes = 0;
    for (const { reply, body, headers } of late) this.#bus.send(reply, body, undefined, headers);
  }

  #keep(reply: string, body: Uint8Array, headers: Record<string, string> | undefined): void {
    if (this.#late.length >= LIMITS.lateReplies.value || this.#lateBytes + body.length > LIMITS.lateReplyBytes.value) {
      this.#counters.add("replies.dropped");
      if (this.#late.length < LIMITS.lateReplies.value) this.#counters.add("limit.lateReplyBytes");
      return;
    }
    this.#counters.add("replies.late");
    this.#connectedSince = undefined;
    this.#late.push({ reply, body, headers });
    this.#lateBytes += body.length;
  }

  #trace(call: Call): Record<string, string> {
    const { slot, head } = call;
    const instanceMb = call.instanceMb;
    return {
      "Pilot-Call": call.id,
      "Pilot-Rung": call.rung,
      "Pilot-Path": call.path,
      "Pilot-Class": head?.class ?? call.grant?.class ?? "rare",
      "Pilot-Host": this.#host,
      "Pilot-Instance": call.instance,
      "Pilot-Container": call.container,
      "Pilot-Version": String(slot.version),
      "Pilot-Memory": String(slot.memoryMb),
      "Pilot-Cpu": String(instanceMb > 0 ? Math.min(1, slot.memoryMb / instanceMb) : 0),
      "Pilot-Attempt": String(call.attempt),
      ...(head?.place?.reason !== undefined && { "Pilot-Reason": headerLine(head.place.reason) }),
      ...(call.coldCause !== undefined && { "Pilot-Cold-Cause": call.coldCause }),
      "Pilot-Times": `${call.receivedAt};${call.startedAt};${call.endedAt}`,
      ...(call.traceparent !== undefined && { traceparent: call.traceparent }),
    };
  }
}

/** Two texts, and escapes or multi-byte characters may make each much longer. */
const CUT = Math.floor(LIMITS.errorBody.value / 16);

function bodyOf(fault: Fault, stack: string | undefined): Uint8Array {
  const details = stack === undefined ? fault.details : { ...fault.details, stack: stack.slice(0, CUT * 2) };
  const body = failureBody(new Fault(fault.name, fault.message.slice(0, CUT), details));
  return body.length <= LIMITS.errorBody.value ? body : failureBody(new Fault(fault.name, headerLine(fault.message)));
}
