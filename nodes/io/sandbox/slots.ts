/** Places for instances on this host: each has a directory and, where the agent may, a user id of its own. */
import { chmodSync, chownSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { StartOrder } from "../../../actors/instance/sandbox.ts";
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { Instance } from "./instance.ts";
import type { Kind, Place } from "./kind.ts";

export class Slots {
  readonly #runDirectory: string;
  readonly #firstUid: number | undefined;
  readonly #kind: Kind;
  readonly #taken = new Set<number>();
  #next = -1;

  /** `firstUid`: of the host uids that instances get, or undefined where they run as the agent's own user. */
  constructor(runDirectory: string, firstUid: number | undefined, kind: Kind) {
    this.#runDirectory = runDirectory;
    this.#firstUid = firstUid;
    this.#kind = kind;
  }

  /** Makes an instance with its directory. Throws BootFailed when LIMITS.instanceSlots are taken, and what the disk says. */
  take(order: StartOrder): Instance {
    if (this.#taken.size >= LIMITS.instanceSlots.value)
      throw new Fault("BootFailed", "This host has no room for another instance.", { limit: "instanceSlots" });
    // The slot (and uid) that was free for longest, so that nothing of an old instance ever meets a new one.
    do this.#next = (this.#next + 1) % LIMITS.instanceSlots.value;
    while (this.#taken.has(this.#next));
    const slot = this.#next;
    const uid = this.#firstUid === undefined ? undefined : this.#firstUid + slot;
    const directory = join(this.#runDirectory, "i", `${slot}`);
    const place: Place = { instance: order.instance, directory, uid, network: order.network };
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      if (uid !== undefined) {
        chownSync(directory, 0, uid);
        chmodSync(directory, 0o750);
      }
      this.#kind.prepare(place);
    } catch (error) {
      // A full disk, most likely: half an instance is none.
      rmSync(directory, { recursive: true, force: true });
      throw error;
    }
    this.#taken.add(slot);
    return new Instance(place, slot, order.instanceMb);
  }

  free(slot: number): void {
    this.#taken.delete(slot);
  }
}
