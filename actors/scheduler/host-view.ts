/**
 * One host as a keeper sees it: what it announced and what was ordered of it since, summed up as it comes in, so that
 * a placement asks for sums instead of making them.
 */
import { LIMITS } from "../../protocol/limits.ts";
import type { HostAnnouncement, InstanceHint } from "../../protocol/messages/host.ts";
import type { RuntimeName } from "../../protocol/runtimes.ts";
import type { Order } from "./fleet.ts";

export interface SlotCount {
  idle: number;
  busy: number;
  loading: number;
}

/** Room kept beside a container's own amount for its runtime's processes, in MB; hosts count the same. */
export const BOX_MB = LIMITS.boxMemory.value;

export class HostView {
  readonly id: string;
  announcement: HostAnnouncement;
  readonly instances = new Map<string, InstanceHint>();
  /** What it runs of a function, by account.function. */
  readonly functions = new Map<string, { readonly calls: number; readonly meanRunMs: number; readonly queued: number }>();
  /** Announced containers by slot key, over all instances. */
  readonly #slots = new Map<string, SlotCount>();
  /** Orders of a key: calls for idle containers, and containers to be made. */
  readonly #orderedSlots = new Map<string, { hot: number; made: number }>();
  readonly #orderedInstances = new Map<string, { mb: number; made: number }>();
  readonly #orderedWarm = new Map<RuntimeName, number>();
  readonly #warm = new Map<RuntimeName, InstanceHint[]>();
  #orderedMb = 0;
  /** What evicting every idle container would give that no call was sent to. */
  #idleMb = 0;

  constructor(announcement: HostAnnouncement) {
    this.id = announcement.host;
    this.announcement = announcement;
  }

  put(instance: InstanceHint): void {
    this.instances.set(instance.id, instance);
    for (const slot of instance.slots) this.#count(slot.key, slot, 1);
    if (instance.state !== "warm") return;
    const warm = this.#warm.get(instance.runtime) ?? [];
    warm.push(instance);
    warm.sort((a, b) => a.memoryMb - b.memoryMb);
    this.#warm.set(instance.runtime, warm);
  }

  /** Gives what was known of it. */
  drop(id: string): InstanceHint | undefined {
    const instance = this.instances.get(id);
    if (instance === undefined) return undefined;
    this.instances.delete(id);
    for (const slot of instance.slots) this.#count(slot.key, slot, -1);
    const warm = this.#warm.get(instance.runtime);
    const at = instance.state === "warm" && warm !== undefined ? warm.indexOf(instance) : -1;
    if (at >= 0) warm?.splice(at, 1);
    return instance;
  }

  /** Adds an order, or takes it away: `sign` is 1 or -1. */
  order(order: Order, sign: 1 | -1): void {
    const isHot = order.rung === "hot";
    const slot = this.#orderedSlots.get(order.key) ?? { hot: 0, made: 0 };
    if (isHot) slot.hot += sign;
    else slot.made += sign;
    keep(this.#orderedSlots, order.key, slot, slot.hot === 0 && slot.made === 0);
    if (isHot) this.#idleMb -= sign * (order.memoryMb + BOX_MB);
    else this.#orderedMb += sign * (order.memoryMb + BOX_MB);
    if (order.instance !== undefined) {
      const instance = this.#orderedInstances.get(order.instance) ?? { mb: 0, made: 0 };
      instance.mb += sign * order.memoryMb;
      if (!isHot) instance.made += sign;
      keep(this.#orderedInstances, order.instance, instance, instance.mb === 0 && instance.made === 0);
    }
    if (order.rung === "warm") {
      const warm = (this.#orderedWarm.get(order.runtime) ?? 0) + sign;
      keep(this.#orderedWarm, order.runtime, warm, warm === 0);
    }
  }

  /** Containers with the key, with orders of `hot` counted as busy and of containers as loading. */
  slots(key: string): SlotCount {
    const { idle, busy, loading } = this.#slots.get(key) ?? NONE;
    const { hot, made } = this.#orderedSlots.get(key) ?? NOTHING_ORDERED;
    return { idle: idle - hot, busy: busy + hot, loading: loading + made };
  }

  /** Free memory of an instance in MB after outstanding orders; with `except`, idle containers of other keys count as free. */
  room(instance: InstanceHint, except?: string): number {
    let room = instance.memoryMb - instance.usedMb - (this.#orderedInstances.get(instance.id)?.mb ?? 0);
    if (except !== undefined) for (const slot of instance.slots) if (slot.key !== except) room += slot.idle * amountOf(slot.key);
    return room;
  }

  /** Spares of an instance after outstanding orders. */
  spares(instance: InstanceHint): number {
    return instance.spares - (this.#orderedInstances.get(instance.id)?.made ?? 0);
  }

  /** Memory that the host can still give to containers, in MB; with `except`, after evicting idle containers of other keys. */
  free(except?: string): number {
    const free = this.announcement.memoryMb - this.announcement.usedMb - this.#orderedMb;
    if (except === undefined) return free;
    return free + this.#idleMb - this.slots(except).idle * (amountOf(except) + BOX_MB);
  }

  /** The smallest warm instance of that size at least that nobody was sent to yet. */
  warm(runtime: RuntimeName, memoryMb: number): InstanceHint | undefined {
    let sent = this.#orderedWarm.get(runtime) ?? 0;
    for (const instance of this.#warm.get(runtime) ?? []) if (instance.memoryMb >= memoryMb && sent-- <= 0) return instance;
    return undefined;
  }

  #count(key: string, { idle, busy, loading }: Readonly<SlotCount>, sign: 1 | -1): void {
    const slot = this.#slots.get(key) ?? { idle: 0, busy: 0, loading: 0 };
    slot.idle += sign * idle;
    slot.busy += sign * busy;
    slot.loading += sign * loading;
    keep(this.#slots, key, slot, slot.idle === 0 && slot.busy === 0 && slot.loading === 0);
    this.#idleMb += sign * idle * (amountOf(key) + BOX_MB);
  }
}

const NONE: Readonly<SlotCount> = { idle: 0, busy: 0, loading: 0 };
const NOTHING_ORDERED = { hot: 0, made: 0 } as const;

/** Sets an entry, or removes one of which nothing is left. */
export function keep<K, V>(map: Map<K, V>, key: K, value: V, isEmpty: boolean): void {
  if (isEmpty) map.delete(key);
  else map.set(key, value);
}

/** The amount that a slot key names, in MB. */
function amountOf(key: string): number {
  return Number(key.slice(key.lastIndexOf("@") + 1));
}
