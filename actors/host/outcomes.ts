/** How calls end: the caller hears it, the counters and records have it, and it is told once per call. */
import { Fault } from "../../protocol/errors.ts";
import type { Thrown } from "../../protocol/frames.ts";
import { BODY_LIMIT } from "../../protocol/limits.ts";
import type { Clock, Log } from "../kit/ports.ts";
import type { Call } from "./call.ts";
import type { Counters } from "./counters.ts";
import type { Replies } from "./replies.ts";
import type { Slot } from "./slot.ts";

export interface OutcomesPorts {
  readonly clock: Clock;
  readonly log: Log;
  readonly replies: Replies;
  readonly counters: Counters;
  mapStack(digest: string, stack: string): Promise<string> | string;
  /** Digest of the slot's code, where it is still known. */
  digestOf(slot: Slot): string | undefined;
  /** The call has ended, whichever way; told once per call. */
  done(call: Call): void;
}

export class Outcomes {
  readonly #ports: OutcomesPorts;

  constructor(ports: OutcomesPorts) {
    this.#ports = ports;
  }

  /** `payload` is a view. */
  succeed(call: Call, payload: Uint8Array): void {
    if (payload.length > BODY_LIMIT)
      return this.fail(call, new Fault("ResultTooLarge", `the result has ${payload.length} bytes; at most ${BODY_LIMIT} can be sent`));
    call.dropBody();
    call.bytesOut = payload.length;
    call.endedAt = this.#ports.clock.epoch();
    call.slot.stats.succeeded(call.rung);
    this.#ports.replies.succeed(call, payload);
    this.#ports.done(call);
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
        this.#ports.log.debug("a stack was not mapped", { digest, error: String(error) });
        return stack;
      })
      .then((mapped) => this.fail(call, fault, mapped))
      .catch((error: unknown) => this.#ports.log.error("a failed call was not answered", { error: String(error) }));
  }
}
