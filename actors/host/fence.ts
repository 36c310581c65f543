/**
 * Which leader a host obeys: the newest it has heard of. A leader that slept, or was cut off, finds out here that another leads.
 *
 * F1  Of an older epoch than one that was heard nothing is admitted. A leader tells its epoch to every host, also without grants.
 * F2  An epoch that was not heard for LIMITS.leaderMemory is forgotten: leaders tell theirs more often, so nobody leads under it, and
 *     where the bucket of leases was made anew epochs begin again.
 * F3  An order without an epoch comes from a release before leases. It is admitted: the revision of the function's record fences it.
 */
import { LIMITS } from "../../protocol/limits.ts";

export class Fence {
  #epoch = 0;
  #heardAt = 0;

  /** The epoch of the newer leader because of which an order of `epoch` is refused; undefined: it is admitted. */
  refuses(epoch: number | undefined, now: number): number | undefined {
    if (epoch === undefined) return undefined;
    const isForgotten = now - this.#heardAt > LIMITS.leaderMemory.value;
    if (epoch < this.#epoch && !isForgotten) return this.#epoch;
    this.#epoch = epoch;
    this.#heardAt = now;
    return undefined;
  }
}
