/**
 * Memory that is promised to the containers of instances, in MB.
 *
 * I2  What is promised counts: amounts of containers that wait for a boot are taken from instance and host at once.
 */
import { LIMITS } from "../../protocol/limits.ts";
import type { Instance } from "./instance.ts";
import type { Provision } from "./provision.ts";
import type { Slot } from "./slot.ts";

/** Counts a container that is to be made, before there is one. Each is followed by one `withdraw`, or by `made` and one `release`. */
export function promise(instance: Instance, { slot }: Provision): void {
  instance.usedMb += slot.memoryMb;
  instance.assigned++;
  slot.loading++;
}

/** Gives back what was promised for a container that will not be. */
export function withdraw(instance: Instance, { slot }: Provision): void {
  release(instance, slot);
  slot.loading--;
}

/** The container is there: the slot waits for it no longer. Its amount goes on counting. */
export function made({ slot }: Provision): void {
  slot.loading--;
}

/** Gives back the amount of a container that has ended. */
export function release(instance: Instance, slot: Slot): void {
  instance.usedMb -= slot.memoryMb;
  instance.assigned--;
}

/** What is promised on all of them together: amounts of containers, and every box. */
export function promisedMb(instances: Iterable<Instance>): number {
  let used = 0;
  for (const instance of instances) {
    used += instance.usedMb + (instance.containers.size + instance.booting) * LIMITS.boxMemory.value;
  }
  return used;
}
