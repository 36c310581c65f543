/**
 * May this keeper place calls now?
 *
 * K5  A keeper that slept, or lost the broker, for so long that it may have been declared lost gives its calls back to
 *     their owners, who know whether another keeper has them by now.
 */
import { LIMITS } from "../../../protocol/limits.ts";
import { Absence } from "../../kit/absence.ts";
import type { Bus } from "../../kit/bus.ts";
import type { Clock } from "../../kit/ports.ts";

export class Presence {
  readonly #clock: Clock;
  readonly #absence: Absence;
  readonly #returned: () => void;
  /** Until when what arrives had piled up. */
  #pilingUntil = Number.NEGATIVE_INFINITY;

  /** `returned` is called once when such an absence has ended, before anything else is placed. */
  constructor(clock: Clock, connections: readonly Bus[], returned: () => void) {
    this.#clock = clock;
    this.#absence = new Absence(clock, connections);
    this.#returned = returned;
  }

  /** False while nothing may be placed: it is not connected, or has just come back. To be asked before each placement. */
  isWell(): boolean {
    if (!this.#absence.isConnected) return false;
    const now = this.#clock.now();
    if (this.#absence.hasEnded()) {
      this.#pilingUntil = now + LIMITS.pileUp.value;
      this.#returned();
    }
    return now >= this.#pilingUntil;
  }
}
