/** What a keeper says of a call to those before it: to the caller in the place of a host, and to the call's owner. */
import { encode } from "../../../protocol/codec.ts";
import { Fault } from "../../../protocol/errors.ts";
import { type CallHead, callReport, type Refusal } from "../../../protocol/messages/call.ts";
import type { Bus } from "../../kit/bus.ts";
import { failureBody, failureHeaders } from "../../kit/failure.ts";
import type { Clock, Log } from "../../kit/ports.ts";
import type { TakenBy } from "./kept-call.ts";
import { HEARD_MS } from "./tenure.ts";

export interface AnswersPorts {
  readonly bus: Bus;
  readonly control: Bus;
  readonly clock: Pick<Clock, "now">;
  readonly log: Log;
  readonly node: string;
  readonly epoch: string;
  /** Which life a node that owns calls (frontend or host) is in; undefined while none is heard of. */
  ownerEpoch(node: string): string | undefined;
  count(counter: string): void;
}

/** What a Throttled caller is told to wait. */
const RETRY_AFTER_MS = 1_000;

export class Answers {
  readonly #ports: AnswersPorts;
  readonly #beganAt: number;

  constructor(ports: AnswersPorts) {
    this.#ports = ports;
    this.#beganAt = ports.clock.now();
  }

  /** Answers the caller, and nobody else. */
  fail(reply: string, fault: Fault): void {
    this.#ports.count(`failed.${fault.name}`);
    if (fault.name === "Internal") this.#ports.log.error("a call failed inside", { error: fault.stack, cause: String(fault.cause ?? "") });
    this.#ports.bus.send(reply, failureBody(fault), undefined, failureHeaders(fault));
  }

  /** Answers the caller, and tells the owner that the call is over. */
  refuse(head: CallHead, reply: string, fault: Fault): void {
    const { call, account, function: name } = head;
    this.#ports.log.debug("a call was refused", { call, account, function: name, error: fault.name, message: fault.message });
    this.fail(reply, fault);
    const { control, node, epoch } = this.#ports;
    control.tell(callReport, [head.owner], { from: node, epoch, taken: [], done: [head.number], placedTaken: [], placedDone: [] });
  }

  /** The owner tries again, unless it has done so already. */
  giveBack(back: string, why: string): void {
    this.#ports.count("givenBack");
    this.#send(back, { refused: "draining", reason: why });
  }

  /** The owner need not send it again; it watches the host that has it. */
  isOver(back: string, by: TakenBy | "answered"): void {
    if (by === "answered") this.#send(back, { refused: "duplicate", reason: "the call was answered" });
    else this.#send(back, { refused: "duplicate", reason: "a host has taken the call", taken: by });
  }

  /** True while the process that sent us the call lives, and so speaks for it. One that a new keeper has not heard yet has just sent it. */
  hasOwner(head: CallHead): boolean {
    const epoch = this.#ports.ownerEpoch(head.owner);
    if (epoch === undefined) return this.#ports.clock.now() - this.#beganAt < HEARD_MS;
    return head.ownerEpoch === undefined || epoch === head.ownerEpoch;
  }

  /** Answers the caller when nobody else can. */
  speakFor(head: CallHead, reply: string, fault: Fault): void {
    if (!this.hasOwner(head)) this.fail(reply, fault);
  }

  #send(back: string, refusal: Refusal): void {
    this.#ports.bus.send(back, encode(refusal));
  }
}

/** No place now, but perhaps in a second. */
export function throttled(why: string): Fault {
  return new Fault("Throttled", why, { retryAfterMs: RETRY_AFTER_MS });
}
