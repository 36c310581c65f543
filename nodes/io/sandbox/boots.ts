/**
 * The queue of boots: at most so many at once, urgent ones first, else in order. Boots cost a core each; more at once only
 * slows all. While an urgent one waits, those that run at leisure hold it up: they are hurried.
 */
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
  /** What hurries each boot that runs at leisure. */
  readonly #leisurely = new Set<() => void>();

  constructor(atOnce: number) {
    this.#atOnce = atOnce;
  }

  /**
   * Runs a boot when it is its turn. `hurry` is called once if it is not urgent, runs, and keeps an urgent one waiting.
   * Throws BootFailed at once when LIMITS.waitingBoots are waiting.
   */
  async run<Result>(urgent: boolean, boot: () => Promise<Result>, hurry: () => void): Promise<Result> {
    if (this.#running >= this.#atOnce) {
      if (this.#urgent.length + this.#patient.length >= LIMITS.waitingBoots.value)
        throw new Fault("BootFailed", "Too many sandboxes are waiting to boot.", { limit: "waitingBoots" });
      if (urgent) this.#hurryAll();
      await new Promise<void>((begin) => (urgent ? this.#urgent : this.#patient).push({ begin }));
    } else this.#running += 1;
    if (!urgent) this.#leisurely.add(hurry);
    try {
      return await boot();
    } finally {
      this.#leisurely.delete(hurry);
      // The place is handed on, so that nobody slips in between.
      const next = this.#urgent.shift() ?? this.#patient.shift();
      if (next === undefined) this.#running -= 1;
      else next.begin();
    }
  }
  #hurryAll(): void {
    for (const hurry of this.#leisurely) hurry();
    this.#leisurely.clear();
  }
}
