/**
 * Which calls are here, and which a host has taken.
 *
 * K4  A call is held once, however often its owner sends it; what was taken is remembered for a while.
 */
import { LIMITS } from "../../../protocol/limits.ts";
import type { CallHead } from "../../../protocol/messages/call.ts";
import type { KeptCall, TakenBy } from "./kept-call.ts";

export class Held {
  /** Calls that no host has taken, by their ids: an owner that believed this keeper lost may send them again. */
  readonly #untaken = new Set<string>();
  /** Calls that a host has taken, or that were answered here, oldest first; at most LIMITS.seenCalls. */
  readonly #over = new Map<string, TakenBy | "answered">();
  #bytes = 0;

  /** Of the bodies of calls that no host has taken. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Calls that no host has taken. */
  get size(): number {
    return this.#untaken.size;
  }

  /** `untaken`: it waits here or is on its way to a host. `answered`: here. A host: that has it, or had it. Undefined: not known. */
  find(head: CallHead): "untaken" | "answered" | TakenBy | undefined {
    return this.#untaken.has(head.call) ? "untaken" : this.#over.get(overKey(head));
  }

  /** Counts its body until it is released. */
  hold(call: KeptCall): void {
    this.#untaken.add(call.head.call);
    this.#bytes += call.body?.length ?? 0;
  }

  /** A host has it, or its caller has been answered: remembered, and released. */
  over(call: KeptCall): void {
    this.#over.set(overKey(call.head), call.taken ?? "answered");
    if (this.#over.size > LIMITS.seenCalls.value) {
      for (const oldest of this.#over.keys()) {
        this.#over.delete(oldest);
        break;
      }
    }
    this.release(call);
  }

  /** Lets go of its body; it is not held any more. Twice does no harm. */
  release(call: KeptCall): void {
    if (call.body === undefined) return;
    this.#untaken.delete(call.head.call);
    this.#bytes -= call.body.length;
    call.body = undefined;
  }
}

/** A call that may run again is another one at each attempt of its owner. */
function overKey(head: CallHead): string {
  return head.idempotent ? `${head.call}.${head.attempt}` : head.call;
}
