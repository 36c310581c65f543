/** Work of one key that is under way is joined, not done twice; and only so many keys are under way at a time. */
import { Fault } from "../../protocol/errors.ts";

export class SingleFlight<T> {
  readonly #most: number;
  readonly #flights = new Map<string, Promise<T>>();

  /** `most`: keys under way at a time; for one more the work is not begun. */
  constructor(most: number) {
    this.#most = most;
  }

  /** Joins the work of that key, or begins it. Rejects as the work does, or with Throttled when too much is under way. */
  run(key: string, work: () => Promise<T>): Promise<T> {
    const flight = this.#flights.get(key);
    if (flight) return flight;
    if (this.#flights.size >= this.#most)
      return Promise.reject(new Fault("Throttled", `${this.#most} names are being read already`, { limit: "registryReads" }));
    const begun = work().finally(() => this.#flights.delete(key));
    this.#flights.set(key, begun);
    return begun;
  }
}
