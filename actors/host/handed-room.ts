/**
 * Room for the calls that this host holds and does not run: direct ones that it handed on, and those of its functions. They share
 * one bound in number and bytes, and one row of numbers.
 */
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { firstNumber } from "../kit/first-number.ts";
import type { Random } from "../kit/ports.ts";
import type { Counters } from "./counters.ts";

/** The place of one call. */
export interface HandedPlace {
  /** No other call of this host has it. */
  readonly number: number;
  /** Its body is not held any more. Twice does no harm. */
  dropBody(): void;
  /** Gives up the place. Twice does no harm. */
  leave(): void;
}

export class HandedRoom {
  readonly #counters: Counters;
  #next: number;
  #size = 0;
  #bytes = 0;

  constructor(random: Random, counters: Counters) {
    this.#next = firstNumber(random);
    this.#counters = counters;
  }

  get size(): number {
    return this.#size;
  }

  /** Of the bodies that are held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** A place for a call with so many bytes, or why there is none. */
  take(bytes: number): HandedPlace | Fault {
    const isCrowded = this.#size >= LIMITS.handedOn.value;
    if (isCrowded || this.#bytes + bytes > LIMITS.heldBytes.value) {
      this.#counters.add(isCrowded ? "handed.full" : "limit.heldBytes");
      return new Fault("Throttled", "the host holds as many calls as it may", { retryAfterMs: 100 });
    }
    this.#size++;
    this.#bytes += bytes;
    let isIn = true;
    let held = bytes;
    const dropBody = (): void => {
      this.#bytes -= held;
      held = 0;
    };
    return {
      number: this.#next++,
      dropBody,
      leave: () => {
        dropBody();
        if (isIn) this.#size--;
        isIn = false;
      },
    };
  }
}
