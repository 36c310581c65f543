/**
 * Makes room: idle containers that were not used for longest go first, so that work that waits is served rather than
 * refused because of what nobody uses. Never a busy or loading one, and none of the slot that the room is for.
 */
import type { Container } from "./container.ts";
import type { Instance } from "./instance.ts";
import type { Instances } from "./instances.ts";
import type { Slot } from "./slot.ts";

export interface RoomWanted {
  readonly slot: Slot;
  /** The instance that must have the room; undefined: the host as a whole. */
  readonly instance?: Instance | undefined;
  /** True: a box has to be booted as well. */
  readonly boots: boolean;
}

/** Evicts until the room is there; nothing when all idle ones together would not make it. Returns how many containers went. */
export function makeRoom(instances: Instances, wanted: RoomWanted): number {
  const { slot, instance, boots } = wanted;
  const enough = () => instances.hasCapacity(slot.memoryMb, boots) && (instance === undefined || instance.freeMb >= slot.memoryMb);
  if (enough()) return 0;
  const candidates = idleOf(instance === undefined || instance.freeMb >= slot.memoryMb ? instances.all() : [instance], slot);
  const gain = candidates.reduce((sum, { slot: used }) => sum + (used?.memoryMb ?? 0), 0);
  if (instance !== undefined && instance.freeMb < slot.memoryMb && instance.freeMb + gain < slot.memoryMb) return 0;
  let evicted = 0;
  for (const container of candidates) {
    if (enough()) break;
    instances.discard(container);
    evicted++;
  }
  return evicted;
}

function idleOf(instances: Iterable<Instance>, slot: Slot): Container[] {
  const idle: Container[] = [];
  for (const instance of instances)
    for (const container of instance.containers) if (container.state === "idle" && container.slot !== slot) idle.push(container);
  return idle.sort((a, b) => a.idleSince - b.idleSince);
}
