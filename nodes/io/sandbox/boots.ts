/** The queue of boots: at most so many at once, urgent ones first, else in order. Boots cost a core each; more at once only slows all. */
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";

interface Waiting {
  readonly begin: () => void;
}

export class Boots {
  readonly #atOnce: number;
  #running = 0;
  readonly #urgent: Waiting[] = [];
  readonly #patient: Waiting[] = [];

  constructor(atOnce: number) {
    this.#atOnce = atOnce;
  }

  /** Runs a boot when it is its turn. Throws BootFailed at once when LIMITS.waitingBoots are waiting. */
  async run<Result>(urgent: boolean, boot: () => Promise<Result>): Promise<Result> {
    if (this.#running >= this.#atOnce) {
      if (this.#urgent.length + this.#patient.length >= LIMITS.waitingBoots.value)
        throw new Fault("BootFailed", "Too many sandboxes are waiting to boot.");
      await new Promise<void>((begin) => (urgent ? this.#urgent : this.#patient).push({ begin }));
    } else this.#running += 1;
    try {
      return await boot();
    } finally {
      // The place is handed on, so that nobody slips in between.
      const next = this.#urgent.shift() ?? this.#patient.shift();
      if (next === undefined) this.#running -= 1;
      else next.begin();
    }
  }
}
