/** What a keeper says of a call to those before it: to the caller in the place of a host, and to the call's owner. */
import { encode } from "../../../protocol/codec.ts";
import { Fault } from "../../../protocol/errors.ts";
import { type CallHead, callReport, type Refusal } from "../../../protocol/messages/call.ts";
import { aboutCall, tracedHeaders } from "../../kit/about-call.ts";
import type { Bus } from "../../kit/bus.ts";
import { failureBody, failureHeaders } from "../../kit/failure.ts";
import type { Clock, Log } from "../../kit/ports.ts";
import type { TakenBy } from "./kept-call.ts";
import type { LongCall } from "./long.ts";
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

  /** Answers the caller, and nobody else. `headers`: what the reply tells of the call. */
  fail(reply: string, fault: Fault, headers: Readonly<Record<string, string>> = {}): void {
    this.#ports.count(`failed.${fault.name}`);
    this.#ports.bus.send(reply, failureBody(fault), undefined, failureHeaders(fault, headers));
  }

  /** What came is no call at all. */
  malformed(reply: string, thrown: unknown): void {
    const fault = Fault.from(thrown);
    if (fault.name === "Internal") this.#ports.log.error("an order was not read", { error: fault.stack, cause: String(fault.cause ?? "") });
    this.fail(reply, fault);
  }

  /** Answers the caller, and tells the owner that the call is over. */
  refuse(head: CallHead, reply: string, fault: Fault): void {
    const about = { ...aboutCall(head), error: fault.name, message: fault.message };
    if (fault.name !== "Internal") this.#ports.log.debug("a call was refused", about);
    else this.#ports.log.error("a call failed inside", { ...about, stack: fault.stack, cause: String(fault.cause ?? "") });
    this.fail(reply, fault, tracedHeaders(head));
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
    const about = { ...aboutCall(head), owner: head.owner, error: fault.name, message: fault.message };
    if (this.hasOwner(head)) return this.#ports.log.debug("a call ends here; its owner speaks for it", about);
    this.#ports.log.info("a call lost its owner, and is answered in its place", about);
    this.fail(reply, fault, tracedHeaders(head));
  }

  /** Answers the caller of a direct call whose host is lost. It hears the id, asked for or not: nobody else knows it any more. */
  hostLost({ call, reply, account, function: name }: LongCall, host: string): void {
    const fault = new Fault("InstanceLost", `host ${host} died while the call ran`);
    this.#ports.log.info("a call was lost with its host", {
      call,
      account,
      function: name,
      host,
      error: fault.name,
      message: fault.message,
    });
    this.fail(reply, fault, { "Pilot-Call": call });
  }

  #send(back: string, refusal: Refusal): void {
    this.#ports.bus.send(back, encode(refusal));
  }
}

/** No place now, but perhaps in a second. */
export function throttled(why: string): Fault {
  return new Fault("Throttled", why, { retryAfterMs: RETRY_AFTER_MS });
}
