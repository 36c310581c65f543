/**
 * Calls that are sent into a busy container, behind its running one, so that it finds the next without a round trip.
 *
 * A1  None of them has begun for the host until the one before it has ended; so it can be asked back, and is, when the
 *     running one takes longer than forecast.
 * A2  Only what would be the next anyway is sent ahead: nobody waits before it.
 */
import type { Fault } from "../../protocol/errors.ts";
import { FRAME } from "../../protocol/frames.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { GIVES_BACK } from "../../protocol/runtimes.ts";
import type { Clock } from "../kit/ports.ts";
import { aheadDepth } from "./ahead.ts";
import type { Call } from "./call.ts";
import { extraOf } from "./call-stamp.ts";
import type { AheadCall, Container } from "./container.ts";
import type { Slot } from "./slot.ts";

const NOTHING = new Uint8Array(0);

/** Sends the frame of a call; gives its number there. Its time limit counts from now. */
export function sendCall(container: Container, call: Call, clock: Clock): number {
  const end = clock.epoch() + call.timeoutMs;
  const extra = call.head === undefined ? call.stampedExtra(end) : extraOf(end, call.head.call);
  const number = container.nextNumber();
  container.box.send(FRAME.call, 0, number, extra, call.body);
  return number;
}

/** The same for a call whose body was read from the store. `written`: the host holds nothing of it any more. */
export function sendLarge(container: Container, call: Call, body: Uint8Array, clock: Clock, written: () => void): number {
  const end = clock.epoch() + call.timeoutMs;
  const number = container.nextNumber();
  container.box.send(FRAME.call, 0, number, extraOf(end, call.id), body, written);
  return number;
}

export class SentAhead {
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Sends the call into the busy container of its slot that has most ahead already, so that others empty. False: runs are
   * too long for that, or there is none; it has to wait elsewhere. Legal while nobody waits before it.
   */
  offer(call: Call): boolean {
    const { slot } = call;
    if (slot.busy.size === 0 || slot.queued > 0) return false;
    const depth = depthOf(slot, call.bytesIn);
    if (depth === 0) return false;
    let best: Container | undefined;
    for (const container of slot.busy) {
      if (container.takingBack || container.ahead.length >= depth) continue;
      if (best === undefined || container.ahead.length > best.ahead.length) best = container;
    }
    if (best === undefined) return false;
    this.#send(best, call);
    return true;
  }

  /** Sends from the slot's queue what the container may have. */
  fill(container: Container, slot: Slot): void {
    for (let { first } = slot; first !== undefined && !container.takingBack; { first } = slot) {
      if (container.ahead.length >= depthOf(slot, first.bytesIn)) return;
      slot.dequeue();
      this.#send(container, first);
    }
  }

  /** The next that the container runs, now that the one before has ended. */
  next(container: Container): AheadCall | undefined {
    return container.ahead.shift();
  }

  /** Asks all back when the running call has taken longer than LIMITS.aheadSlow. */
  takeBackIfSlow(container: Container, now: number): void {
    if (container.ahead.length === 0 || container.takingBack || now - container.startedAt <= LIMITS.aheadSlow.value) return;
    container.takingBack = true;
    for (const { number } of container.ahead) askBack(container, number);
  }

  /** The container gives one back that it has not begun: the call, or undefined when it had none of that number. */
  givenBack(container: Container, number: number): Call | undefined {
    const at = container.ahead.findIndex((one) => one.number === number);
    return at < 0 ? undefined : container.ahead.splice(at, 1)[0]?.call;
  }

  /** The container is gone: what stood ahead in it, in order. */
  takeAll(container: Container): Call[] {
    return container.ahead.splice(0).map(({ call }) => call);
  }

  /** Marks one as cancelled and asks it back. False when there is no such call. */
  cancel(container: Container, matches: (call: Call) => boolean, fault: Fault): boolean {
    const entry = container.ahead.find(({ call }) => matches(call));
    if (entry === undefined) return false;
    // Should it begin before it is given back, its run is ended like that of any cancelled call.
    entry.call.cancelled = fault;
    askBack(container, entry.number);
    return true;
  }

  #send(container: Container, call: Call): void {
    container.ahead.push({ call, number: sendCall(container, call, this.#clock) });
  }
}

function askBack(container: Container, number: number): void {
  container.box.send(FRAME.takeBack, 0, number, NOTHING, NOTHING);
}

function depthOf(slot: Slot, bodyBytes: number): number {
  const runtime = slot.code?.runtime;
  return aheadDepth({
    meanRunMs: slot.stats.meanInsideMs ?? slot.stats.meanRunMs,
    givesBack: runtime !== undefined && GIVES_BACK[runtime],
    bodyBytes,
  });
}
