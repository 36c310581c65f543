/**
 * Direct calls that are handed on: to the function's keeper, which may know a better place, or to a frontend, which is asked
 * anew what the function is. HandedCalls then has them until they end.
 */
import { Fault } from "../../protocol/errors.ts";
import type { Grant } from "../../protocol/messages/host.ts";
import type { Message } from "../kit/bus.ts";
import type { Clock } from "../kit/ports.ts";
import type { Call } from "./call.ts";
import { headersOfCall, headersOfMessage } from "./direct-headers.ts";
import type { HandedCalls } from "./handed.ts";
import type { Replies } from "./replies.ts";
import type { Slot } from "./slot.ts";

export interface HandingOnPorts {
  readonly clock: Clock;
  readonly replies: Replies;
  readonly handed: HandedCalls;
  /** A direct call is handed on. */
  left(call: Call): void;
  /** Tells what has changed, if that was not done just now. */
  announce(): void;
}

export class HandingOn {
  readonly #ports: HandingOnPorts;

  constructor(ports: HandingOnPorts) {
    this.#ports = ports;
  }

  /** Hands a call that is in no queue to the keeper of its grant. */
  toKeeper(call: Call, grant: Grant): void {
    // Else the keeper sees containers idle that are busy by now, and sends the call back to wait for them.
    this.#ports.announce();
    this.#ports.left(call);
    this.#ports.handed.toKeeper(
      grant.keeper,
      {
        call: call.id,
        account: grant.account,
        function: grant.function,
        version: grant.version,
        memoryMb: grant.memoryMb,
        timeoutMs: grant.timeoutMs,
        keepAliveMs: grant.keepAliveMs,
        containers: grant.containers,
        waitMs: Math.max(0, call.waitUntil - this.#ports.clock.now()),
        receivedAt: call.receivedAt,
        trace: call.trace,
        ...(call.traceparent !== undefined && { traceparent: call.traceparent }),
        class: grant.class,
        attempt: 1,
        idempotent: grant.idempotent,
      },
      call.body,
      call.reply,
    );
  }

  /** Hands the direct calls that wait in a slot to the function's keeper. */
  queueToKeeper(slot: Slot): void {
    for (const call of slot.takeOut((waiting) => waiting.grant !== undefined)) if (call.grant) this.toKeeper(call, call.grant);
  }

  /** Hands the direct calls that wait in a slot to a frontend: its version must not answer them any more. */
  queueToDesk(slot: Slot): void {
    for (const call of slot.takeOut((waiting) => waiting.grant !== undefined)) {
      this.#ports.left(call);
      const waitedMs = this.#ports.clock.now() - call.arrivedAt;
      const { account, function: name } = slot;
      this.#ports.handed.toDesk(
        { account, function: name, headers: headersOfCall(call), receivedAt: call.receivedAt, waitedMs },
        call.body,
        call.reply,
      );
    }
  }

  /** Hands a message that is no call yet to a frontend, with what it says. */
  toDesk(grant: Grant, message: Message): void {
    const headers = headersOfMessage(message);
    if (headers === undefined) {
      return this.#ports.replies.refuse(message.reply, new Fault("BadHeader", "the call has too many or too long Pilot- headers"));
    }
    const { account, function: name } = grant;
    this.#ports.handed.toDesk(
      { account, function: name, headers, receivedAt: this.#ports.clock.epoch(), waitedMs: 0 },
      message.body,
      message.reply,
    );
  }
}
