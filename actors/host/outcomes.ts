/** How calls end: the caller hears it, the counters and records have it, and it is told once per call. */
import { Fault } from "../../protocol/errors.ts";
import type { Thrown } from "../../protocol/frames.ts";
import { BODY_LIMIT, LIMITS } from "../../protocol/limits.ts";
import { canRedeem } from "../../protocol/subjects.ts";
import { aboutCall } from "../kit/about-call.ts";
import type { Clock, Log } from "../kit/ports.ts";
import type { Call } from "./call.ts";
import type { Counters } from "./counters.ts";
import type { LargeBodies } from "./large-bodies.ts";
import type { Replies } from "./replies.ts";
import type { Slot } from "./slot.ts";

export interface OutcomesPorts {
  readonly clock: Clock;
  readonly log: Log;
  readonly replies: Replies;
  readonly bodies: LargeBodies;
  readonly counters: Counters;
  mapStack(digest: string, stack: string): Promise<string> | string;
  /** Digest of the slot's code, where it is still known. */
  digestOf(slot: Slot): string | undefined;
  /** The call has ended, whichever way; told once per call. */
  done(call: Call): void;
}

export class Outcomes {
  readonly #ports: OutcomesPorts;
  #storing = 0;

  constructor(ports: OutcomesPorts) {
    this.#ports = ports;
  }

  /** Calls whose results are being stored. */
  get storing(): number {
    return this.#storing;
  }

  /** `payload` is a view; one above BODY_LIMIT is nobody else's. */
  succeed(call: Call, payload: Uint8Array): void {
    if (payload.length > BODY_LIMIT && call.reply !== "") return this.#large(call, payload);
    call.dropBody();
    call.bytesOut = payload.length;
    call.endedAt = this.#ports.clock.epoch();
    call.slot.stats.succeeded(call.rung);
    this.#ports.replies.succeed(call, payload);
    this.#ports.done(call);
  }

  /** The result is stored, and its caller gets a claim check; a caller that could not redeem one gets advice. */
  #large(call: Call, payload: Uint8Array): void {
    const bytes = payload.length;
    if (bytes > LIMITS.largeBody.value || !canRedeem(call.reply)) {
      this.#ports.counters.add(bytes > LIMITS.largeBody.value ? "limit.largeBody" : "limit.brokerPayload");
      const advice = `pilot invoke and the client of this package take up to ${LIMITS.largeBody.value}; for others the function stores the data and returns a reference`;
      return this.fail(
        call,
        new Fault("ResultTooLarge", `the result has ${bytes} bytes; at most ${BODY_LIMIT} fit into a reply; ${advice}`),
      );
    }
    call.dropBody();
    this.#storing++;
    this.#ports.bodies.store(call.slot.account, payload).then(
      (ref) => {
        this.#storing--;
        call.bytesOut = bytes;
        call.endedAt = this.#ports.clock.epoch();
        call.slot.stats.succeeded(call.rung);
        this.#ports.replies.claim(call, ref);
        this.#ports.done(call);
      },
      (thrown: unknown) => {
        this.#storing--;
        const { name, message, details } = Fault.from(thrown);
        this.fail(call, new Fault(name, `the function has run, but its result of ${bytes} bytes could not be stored: ${message}`, details));
      },
    );
  }

  /** Its handler threw, or returned what cannot be sent. */
  failed(call: Call, isBadResult: boolean, thrown: Thrown): void {
    const said = thrown.message === "" ? thrown.type : isBadResult ? thrown.message : `${thrown.type}: ${thrown.message}`;
    const badResult = thrown.type === "ResultTooLarge" ? "ResultTooLarge" : "BadResult";
    this.failMapped(call, new Fault(isBadResult ? badResult : "HandlerError", said), isBadResult ? undefined : thrown.stack);
  }

  /** It waited too long. */
  expire(call: Call): void {
    this.#ports.counters.add("calls.expired");
    this.fail(call, new Fault("Throttled", "no container became free in time", { retryAfterMs: 1_000 }));
  }

  /** Answers a call that does not run (any more) with an error. */
  fail(call: Call, fault: Fault, stack?: string): void {
    call.dropBody();
    call.endedAt = this.#ports.clock.epoch();
    call.error = fault.name;
    call.message = fault.message.slice(0, 1_024);
    call.slot.stats.failed(fault.name, call.startedAt === 0 ? undefined : call.rung);
    const about = { ...aboutOf(call), version: call.slot.version, error: fault.name };
    // One line per loss, none per refusal in a storm.
    if (fault.name === "InstanceLost" || fault.name === "Internal")
      this.#ports.log.info("a call was lost", { ...about, message: call.message });
    else this.#ports.log.debug("a call failed", about);
    this.#ports.replies.fail(call, fault, stack);
    this.#ports.done(call);
  }

  /** Fails a call with its stack in terms of the function's source; the map may have to be fetched first. */
  failMapped(call: Call, fault: Fault, stack: string | undefined): void {
    const digest = this.#ports.digestOf(call.slot);
    if (stack === undefined || digest === undefined || call.reply === "") return this.fail(call, fault, stack);
    Promise.resolve()
      .then(() => this.#ports.mapStack(digest, stack))
      .catch((error: unknown) => {
        this.#ports.log.debug("a stack was not mapped", { ...aboutOf(call), digest, error: String(error) });
        return stack;
      })
      .then((mapped) => this.fail(call, fault, mapped))
      .catch((error: unknown) => this.#ports.log.error("a failed call was not answered", { ...aboutOf(call), error: String(error) }));
  }
}

const aboutOf = ({ id, slot }: Call) => aboutCall({ call: id, account: slot.account, function: slot.function });
