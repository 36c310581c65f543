/**
 * The fleet as a keeper sees it: what hosts announced, less what this keeper has ordered and not yet seen taken.
 *
 * L1  An order is subtracted from `placed` until the host reports it taken, refuses it or dies; the announcement
 *     that shows its effect always comes before the report.
 * L2  Everything here is a hint: the host decides.
 */
import { LIMITS } from "../../protocol/limits.ts";
import type { HostAnnouncement, InstanceHint } from "../../protocol/messages/host.ts";
import type { RuntimeName } from "../../protocol/runtimes.ts";
import type { Rung } from "../../protocol/vocabulary.ts";

/** What was ordered and not yet seen in an announcement. */
export interface Order {
  readonly host: string;
  readonly rung: Rung;
  readonly instance: string | undefined;
  /** Slot key, and account.function of it. */
  readonly key: string;
  readonly functionKey: string;
  readonly account: string;
  readonly runtime: RuntimeName;
  readonly memoryMb: number;
}

export interface HostView {
  readonly id: string;
  readonly announcement: HostAnnouncement;
  readonly instances: Map<string, InstanceHint>;
  /** What it runs of a function, by account.function. */
  readonly functions: Map<string, { calls: number; meanRunMs: number; queued: number }>;
}

export interface SlotCount {
  idle: number;
  busy: number;
  loading: number;
}

/** Room kept beside a container's own amount for its runtime's processes, in MB; hosts count the same. */
export const BOX_MB = LIMITS.boxMemory.value;

export class Fleet {
  readonly #hosts = new Map<string, HostView>();
  readonly #orders = new Map<number, Order>();

  announced(announcement: HostAnnouncement): void {
    const known = this.#hosts.get(announcement.host);
    const fresh = known === undefined || known.announcement.epoch !== announcement.epoch;
    // A host is only believed from its first full picture on.
    if (fresh && !announcement.full) return;
    const host: HostView = {
      id: announcement.host,
      announcement,
      instances: fresh || announcement.full ? new Map() : known.instances,
      functions: fresh ? new Map() : known.functions,
    };
    for (const id of announcement.gone) host.instances.delete(id);
    for (const instance of announcement.instances) host.instances.set(instance.id, instance);
    for (const row of announcement.functions) host.functions.set(`${row.account}.${row.function}`, row);
    this.#hosts.set(announcement.host, host);
  }

  lost(host: string): void {
    this.#hosts.delete(host);
    for (const [number, order] of this.#orders) if (order.host === host) this.#orders.delete(number);
  }

  ordered(number: number, order: Order): void {
    this.#orders.set(number, order);
  }

  /** The order has been taken, refused, or given up. */
  settled(number: number): void {
    this.#orders.delete(number);
  }

  host(id: string): HostView | undefined {
    return this.#hosts.get(id);
  }

  hosts(): HostView[] {
    return [...this.#hosts.values()];
  }

  /** Hosts that take new work. */
  taking(): HostView[] {
    return this.hosts().filter((host) => !host.announcement.draining);
  }

  /** Orders that are outstanding. */
  get outstanding(): number {
    return this.#orders.size;
  }

  orders(): Iterable<Order> {
    return this.#orders.values();
  }

  /** Containers with the key on a host, with orders of `hot` counted as busy and of containers as loading. */
  slots(host: HostView, key: string): SlotCount {
    const sum: SlotCount = { idle: 0, busy: 0, loading: 0 };
    for (const instance of host.instances.values()) {
      const slot = instance.slots.find((candidate) => candidate.key === key);
      if (slot === undefined) continue;
      sum.idle += slot.idle;
      sum.busy += slot.busy;
      sum.loading += slot.loading;
    }
    for (const order of this.#orders.values()) {
      if (order.host !== host.id || order.key !== key) continue;
      if (order.rung === "hot") {
        sum.idle--;
        sum.busy++;
      } else sum.loading++;
    }
    return sum;
  }

  /** Free memory of an instance in MB after outstanding orders; with `except`, idle containers of other keys count as free. */
  room(host: HostView, instance: InstanceHint, except?: string): number {
    let room = instance.memoryMb - instance.usedMb;
    if (except !== undefined) room += idleMb(instance, except, 0);
    for (const order of this.#orders.values()) if (order.host === host.id && order.instance === instance.id) room -= order.memoryMb;
    return room;
  }

  /** Spares of an instance after outstanding orders. */
  spares(host: HostView, instance: InstanceHint): number {
    let spares = instance.spares;
    for (const order of this.#orders.values()) if (order.host === host.id && order.instance === instance.id && order.rung !== "hot") spares--;
    return spares;
  }

  /** Memory that a host can still give to containers, in MB; with `except`, after evicting idle containers of other keys. */
  free(host: HostView, except?: string): number {
    let free = host.announcement.memoryMb - host.announcement.usedMb;
    if (except !== undefined) for (const instance of host.instances.values()) free += idleMb(instance, except, BOX_MB);
    for (const order of this.#orders.values()) if (order.host === host.id && order.rung !== "hot") free -= order.memoryMb + BOX_MB;
    return free;
  }

  /** Warm instances of a host that nobody was sent to yet, smallest first. */
  warm(host: HostView, runtime: RuntimeName, memoryMb: number): InstanceHint[] {
    let sent = 0;
    for (const order of this.#orders.values()) if (order.host === host.id && order.rung === "warm" && order.runtime === runtime) sent++;
    return [...host.instances.values()]
      .filter((instance) => instance.state === "warm" && instance.runtime === runtime && instance.memoryMb >= memoryMb)
      .sort((a, b) => a.memoryMb - b.memoryMb)
      .slice(sent);
  }

  /** Containers that exist or are ordered: of a function (account.function) or of a whole account. */
  containers(of: { readonly functionKey: string } | { readonly account: string }): number {
    const prefix = "functionKey" in of ? `${of.functionKey}.` : `${of.account}.`;
    let sum = 0;
    for (const host of this.#hosts.values()) {
      for (const instance of host.instances.values()) {
        for (const slot of instance.slots) if (slot.key.startsWith(prefix)) sum += slot.idle + slot.busy + slot.loading;
      }
    }
    for (const order of this.#orders.values()) if (order.rung !== "hot" && order.key.startsWith(prefix)) sum++;
    return sum;
  }

  /** Mean run time of a function over the hosts that ran it, in ms; 0 when none did. */
  meanRunMs(functionKey: string): number {
    let sum = 0;
    let count = 0;
    for (const host of this.#hosts.values()) {
      const row = host.functions.get(functionKey);
      if (row === undefined || row.meanRunMs === 0) continue;
      sum += row.meanRunMs;
      count++;
    }
    return count === 0 ? 0 : sum / count;
  }
}

/** Amounts of the idle containers of an instance, but for those of one key; `each` is added per container. */
function idleMb(instance: InstanceHint, except: string, each: number): number {
  let sum = 0;
  for (const slot of instance.slots) if (slot.key !== except) sum += slot.idle * (Number(slot.key.slice(slot.key.lastIndexOf("@") + 1)) + each);
  return sum;
}
