/**
 * The direct path: with a grant the host answers a function's public subject itself. What it holds is in grants.ts, what
 * leaves it again in handing-on.ts.
 *
 * D1  A call without headers that finds an idle container costs one object and one frame: no timer, no text, no promise.
 * D2  What arrives after the grant ended (recalled, expired, another version) is never run here, but handed to a frontend.
 * D3  What piled up while the host slept is never run, and its caller hears that: nobody else has it.
 */
import { tooLargeFor } from "../../protocol/bodies.ts";
import { Fault } from "../../protocol/errors.ts";
import { BODY_LIMIT, LIMITS } from "../../protocol/limits.ts";
import type { Grant } from "../../protocol/messages/host.ts";
import { isAnswerable } from "../../protocol/subjects.ts";
import type { Message } from "../kit/bus.ts";
import { admit } from "./admission.ts";
import { Call } from "./call.ts";
import type { CallStamp } from "./call-stamp.ts";
import { readDirect, type Said } from "./direct-headers.ts";
import { Fence } from "./fence.ts";
import { Grants, type GrantsPorts, type Held } from "./grants.ts";
import type { HandOnTime } from "./hand-on-time.ts";
import { HandingOn, type HandingOnPorts } from "./handing-on.ts";
import type { Runner } from "./runner.ts";
import type { Slot } from "./slot.ts";
import type { Supply } from "./supply.ts";
import { piledUp } from "./unspoken.ts";

export interface DeskPorts extends Omit<GrantsPorts, "arrived" | "ended">, HandingOnPorts {
  readonly stamp: CallStamp;
  readonly supply: Supply;
  readonly runner: Runner;
  readonly handOn: HandOnTime;
  isPilingUp(now: number): boolean;
}

export class Desk {
  readonly #ports: DeskPorts;
  readonly #grants: Grants;
  readonly #handingOn: HandingOn;
  readonly #fence = new Fence();

  constructor(ports: DeskPorts) {
    this.#ports = ports;
    this.#handingOn = new HandingOn(ports);
    this.#grants = new Grants({
      ...ports,
      arrived: (held, message) => this.#direct(held, message),
      ended: (slot) => this.#handingOn.queueToDesk(slot),
    });
  }

  /**
   * Takes or renews grants, by order of the leader of that epoch. Returns `account.function` of those that were refused: all of them
   * when a newer leader is known, whose epoch is `fenced` then.
   */
  grant(grants: readonly Grant[], leaderEpoch?: number): { refused: string[]; fenced?: number } {
    const fenced = this.#refuses(leaderEpoch);
    const refused = fenced === undefined ? grants.filter((grant) => !this.#grants.take(grant, leaderEpoch)) : grants;
    return { refused: refused.map((grant) => `${grant.account}.${grant.function}`), ...(fenced !== undefined && { fenced }) };
  }

  /** Ends a grant; resolves when the host has left the desk. An older recall than the grant is of no effect. `fenced` as of `grant`. */
  async recall(account: string, name: string, epoch: number, leaderEpoch?: number): Promise<{ fenced?: number }> {
    const fenced = this.#refuses(leaderEpoch);
    await this.#grants.recall(account, name, epoch, leaderEpoch);
    return fenced === undefined ? {} : { fenced };
  }

  /** Ends all grants, and resolves when the desk is left. */
  leave(): Promise<void> {
    return this.#grants.leave();
  }

  /** Leaves what has expired; to be called a few times a second. Without a broker there is nothing to leave. */
  sweep(now: number): void {
    if (this.#ports.bus.connected) this.#grants.sweep(now);
  }

  grants(): IterableIterator<{ readonly grant: Grant; readonly expiresAt: number }> {
    return this.#grants.all();
  }

  /** Hands the direct calls that wait in a slot to the function's keeper, which may know a better place. */
  handOver(slot: Slot): void {
    this.#handingOn.queueToKeeper(slot);
  }

  #refuses(leaderEpoch: number | undefined): number | undefined {
    const fenced = this.#fence.refuses(leaderEpoch, this.#ports.clock.now());
    if (fenced !== undefined) this.#ports.counters.add("orders.fenced");
    return fenced;
  }

  /** The fast path. */
  #direct(held: Held, message: Message): void {
    const { clock, counters, runner } = this.#ports;
    const { reply, body } = message;
    if (!isAnswerable(reply, LIMITS.replySubject.value)) return counters.add("direct.badReply");
    const now = clock.now();
    if (this.#ports.isPilingUp(now)) {
      counters.add("direct.piledUp");
      return this.#ports.replies.alone(reply, piledUp());
    }
    let said: Said | undefined;
    if (message.hasHeaders) {
      try {
        said = readDirect(message);
      } catch (thrown) {
        return this.#ports.replies.refuse(reply, Fault.from(thrown));
      }
      if (said === undefined) return this.#handingOn.toDesk(held.grant, message);
    }
    if (!held.isActive || now >= held.expiresAt) return this.#handingOn.toDesk(held.grant, message);
    if (body.length > BODY_LIMIT) {
      return this.#ports.replies.refuse(reply, new Fault("PayloadTooLarge", tooLargeFor(body.length)));
    }
    const { grant, slot } = held;
    const call = new Call({
      slot,
      reply,
      body,
      head: undefined,
      placer: undefined,
      grant,
      arrivedAt: now,
      receivedAt: clock.epoch(),
      waitUntil: now + (said?.deadlineMs ?? LIMITS.waitForPlace.value),
      timeoutMs: grant.timeoutMs,
      trace: said?.trace ?? false,
      stamp: this.#ports.stamp,
    });
    if (said?.traceparent !== undefined) call.traceparent = said.traceparent;
    // Short runs fill a busy container first: waking another process costs more than the wait.
    if (slot.busy.size > 0 && runner.ahead(call)) return;
    const container = slot.idle.pop();
    if (container !== undefined) runner.run(container, call);
    else this.#admit(call, grant);
  }

  /** No container is idle: the call waits here, or where it may be served sooner. */
  #admit(call: Call, grant: Grant): void {
    const { slot } = call;
    const { handOn, supply } = this.#ports;
    const verdict = admit({
      ...slot.load,
      createMs: supply.createMs(slot),
      handOnMs: handOn.ms(call.arrivedAt),
      atCap: slot.containers >= grant.containers,
      hasQueueRoom: slot.hasRoom(call.bytesIn),
    });
    if (verdict === "queue") this.#ports.runner.wait(call);
    else this.#handingOn.toKeeper(call, grant);
  }
}
