/**
 * Lives of hosts that this scheduler has declared lost. Their calls have been answered or placed anew, and their containers
 * count no more: one that comes back is not believed, but told to end, and comes again under a new epoch.
 */
import { LIMITS } from "../../protocol/limits.ts";

export class LostHosts {
  /** Host → its last lost epoch, oldest first. At most LIMITS.lostHosts. */
  readonly #epochs = new Map<string, string>();

  add(host: string, epoch: string): void {
    this.#epochs.delete(host);
    this.#epochs.set(host, epoch);
    if (this.#epochs.size > LIMITS.lostHosts.value) {
      for (const oldest of this.#epochs.keys()) {
        this.#epochs.delete(oldest);
        return;
      }
    }
  }

  has(host: string, epoch: string): boolean {
    return this.#epochs.get(host) === epoch;
  }
}
