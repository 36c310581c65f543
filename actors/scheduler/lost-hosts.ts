/**
 * Lives of hosts that this scheduler has declared lost. Their calls have been answered or placed anew, and their containers
 * count no more: one that comes back is not believed, but told to end, and comes again under a new epoch.
 */
import { LIMITS } from "../../protocol/limits.ts";
import type { Member } from "../kit/members.ts";

export class LostHosts {
  /** Host → its last lost epoch, when that was (monotonic), and whether it had been about to leave; oldest first. At most LIMITS.lostHosts. */
  readonly #epochs = new Map<string, { readonly epoch: string; readonly at: number; readonly left: boolean }>();

  add({ id: host, epoch, draining, cordoned }: Member, at: number): void {
    this.#epochs.delete(host);
    this.#epochs.set(host, { epoch, at, left: draining && cordoned !== true });
    if (this.#epochs.size > LIMITS.lostHosts.value) {
      for (const oldest of this.#epochs.keys()) {
        this.#epochs.delete(oldest);
        return;
      }
    }
  }

  has(host: string, epoch: string): boolean {
    return this.#epochs.get(host)?.epoch === epoch;
  }

  /** Those that were lost in the last LIMITS.lostHostTold without having been about to leave, and how long ago, in ms. */
  lately(now: number): { readonly id: string; readonly agoMs: number }[] {
    const lost = [...this.#epochs].filter(([, { left }]) => !left).map(([id, { at }]) => ({ id, agoMs: now - at }));
    return lost.filter(({ agoMs }) => agoMs <= LIMITS.lostHostTold.value);
  }
}
