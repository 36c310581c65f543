/**
 * The fleet as a keeper sees it: what hosts announced, less what this keeper has ordered and not yet seen taken.
 *
 * L1  An order is subtracted from `placed` until the host reports it taken, refuses it or dies; the announcement
 *     that shows its effect always comes before the report.
 * L2  Everything here is a hint: the host decides.
 * L3  What a placement asks for costs no more with a thousand instances than with ten: it is summed up as it comes in.
 */
import type { HostAnnouncement, InstanceHint } from "../../protocol/messages/host.ts";
import type { RuntimeName } from "../../protocol/runtimes.ts";
import type { Rung } from "../../protocol/vocabulary.ts";
import { HostView, keep, type SlotCount } from "./host-view.ts";

export { BOX_MB, type HostView } from "./host-view.ts";

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

export class Fleet {
  readonly #hosts = new Map<string, HostView>();
  readonly #orders = new Map<number, Order>();
  /** Hosts that take new work; undefined: to be found out anew. */
  #taking: readonly HostView[] | undefined = undefined;
  /** Instances by account, each with its host. */
  readonly #owned = new Map<string, Map<InstanceHint, HostView>>();
  /** How many instances of a host have a slot key. */
  readonly #withKey = new Map<string, Map<HostView, number>>();
  /** Containers of a slot key that were ordered, by host: announcements do not show them yet. */
  readonly #orderedAt = new Map<string, Map<string, number>>();
  /** Hosts that ran a function (account.function). */
  readonly #ran = new Map<string, Set<HostView>>();
  /** Containers that exist or are ordered, by account.function and by account. */
  readonly #ofFunction = new Map<string, number>();
  readonly #ofAccount = new Map<string, number>();
  /** Containers that are ordered and not yet shown, by account.function and by account. */
  readonly #orderedOfFunction = new Map<string, number>();
  readonly #orderedOfAccount = new Map<string, number>();
  /** Hosts that had announced before they were first heard here. */
  readonly #old = new Set<string>();
  /** Orders for an instance, by account.function. */
  readonly #instancesOrdered = new Map<string, number>();

  announced(announcement: HostAnnouncement): void {
    let host = this.#hosts.get(announcement.host);
    const fresh = host === undefined || host.announcement.epoch !== announcement.epoch;
    // A host is only believed from its first full picture on.
    if (fresh && !announcement.full) return;
    if (host === undefined || fresh) {
      const orders = [...this.#orders.values()].filter((order) => order.host === announcement.host);
      this.#remove(announcement.host);
      host = new HostView(announcement);
      if (announcement.seq > 0) this.#old.add(host.id);
      for (const order of orders) host.order(order, 1);
      this.#hosts.set(host.id, host);
      this.#taking = undefined;
    }
    if (host.announcement.draining !== announcement.draining) this.#taking = undefined;
    host.announcement = announcement;
    if (announcement.full) {
      const present = new Set(announcement.instances.map(({ id }) => id));
      for (const id of [...host.instances.keys()]) if (!present.has(id)) this.#drop(host, id);
    }
    for (const id of announcement.gone) this.#drop(host, id);
    for (const instance of announcement.instances) {
      const known = host.instances.get(instance.id);
      if (known !== undefined && isSame(known, instance)) continue;
      this.#drop(host, instance.id);
      this.#put(host, instance);
    }
    for (const row of announcement.functions) {
      const key = `${row.account}.${row.function}`;
      host.functions.set(key, row);
      const ran = this.#ran.get(key);
      if (ran === undefined) this.#ran.set(key, new Set([host]));
      else ran.add(host);
    }
  }

  lost(host: string): void {
    this.#remove(host);
    for (const [number, order] of this.#orders) if (order.host === host) this.settled(number);
  }

  order(number: number, order: Order): void {
    this.settled(number);
    this.#orders.set(number, order);
    this.#count(order, 1);
  }

  /** The order has been taken, refused, or given up. */
  settled(number: number): void {
    const order = this.#orders.get(number);
    if (order === undefined) return;
    this.#orders.delete(number);
    this.#count(order, -1);
  }

  host(id: string): HostView | undefined {
    return this.#hosts.get(id);
  }

  hosts(): HostView[] {
    return [...this.#hosts.values()];
  }

  /** Hosts that take new work. */
  taking(): readonly HostView[] {
    this.#taking ??= this.hosts().filter((host) => !host.announcement.draining);
    return this.#taking;
  }

  /** Hosts that have a container with the key, or were ordered to make one; also those that take no new work. */
  withKey(key: string): Iterable<HostView> {
    const announced = this.#withKey.get(key);
    const ordered = this.#orderedAt.get(key);
    if (ordered === undefined) return announced?.keys() ?? [];
    const hosts = new Set(announced?.keys());
    for (const id of ordered.keys()) {
      const host = this.#hosts.get(id);
      if (host !== undefined) hosts.add(host);
    }
    return hosts;
  }

  /** Instances of an account with their hosts. */
  owned(account: string): Iterable<readonly [InstanceHint, HostView]> {
    return this.#owned.get(account) ?? [];
  }

  /** Orders that are outstanding. */
  get outstanding(): number {
    return this.#orders.size;
  }

  /** True while an instance is ordered for a function (account.function). */
  ordersInstance(functionKey: string): boolean {
    return this.#instancesOrdered.has(functionKey);
  }

  /** Containers with the key on a host, with orders of `hot` counted as busy and of containers as loading. */
  slots(host: HostView, key: string): SlotCount {
    return host.slots(key);
  }

  /** Containers that exist or are ordered: of a function (account.function) or of a whole account. */
  containers(of: { readonly functionKey: string } | { readonly account: string }): number {
    return ("functionKey" in of ? this.#ofFunction.get(of.functionKey) : this.#ofAccount.get(of.account)) ?? 0;
  }

  /** Containers that this keeper has ordered and no host has shown yet: of a function (account.function) or of a whole account. */
  ordered(of: { readonly functionKey: string } | { readonly account: string }): number {
    return ("functionKey" in of ? this.#orderedOfFunction.get(of.functionKey) : this.#orderedOfAccount.get(of.account)) ?? 0;
  }

  /** True while every host that is known was heard from its first announcement on. */
  get isYoung(): boolean {
    return this.#old.size === 0;
  }

  /** Mean run time of a function over the hosts that ran it, in ms; 0 when none did. */
  meanRunMs(functionKey: string): number {
    let sum = 0;
    let count = 0;
    for (const host of this.#ran.get(functionKey) ?? []) {
      const row = host.functions.get(functionKey);
      if (row === undefined || row.meanRunMs === 0) continue;
      sum += row.meanRunMs;
      count++;
    }
    return count === 0 ? 0 : sum / count;
  }

  #remove(id: string): void {
    const host = this.#hosts.get(id);
    if (host === undefined) return;
    for (const instance of [...host.instances.keys()]) this.#drop(host, instance);
    for (const key of host.functions.keys()) {
      const ran = this.#ran.get(key);
      ran?.delete(host);
      if (ran?.size === 0) this.#ran.delete(key);
    }
    this.#hosts.delete(id);
    this.#old.delete(id);
    this.#taking = undefined;
  }

  #put(host: HostView, instance: InstanceHint): void {
    host.put(instance);
    if (instance.account !== null) {
      const owned = this.#owned.get(instance.account) ?? new Map<InstanceHint, HostView>();
      owned.set(instance, host);
      this.#owned.set(instance.account, owned);
    }
    this.#countSlots(host, instance, 1);
  }

  #drop(host: HostView, id: string): void {
    const instance = host.drop(id);
    if (instance === undefined) return;
    if (instance.account !== null) {
      const owned = this.#owned.get(instance.account);
      owned?.delete(instance);
      if (owned?.size === 0) this.#owned.delete(instance.account);
    }
    this.#countSlots(host, instance, -1);
  }

  #countSlots(host: HostView, instance: InstanceHint, sign: 1 | -1): void {
    for (const { key, idle, busy, loading } of instance.slots) {
      const hosts = this.#withKey.get(key) ?? new Map<HostView, number>();
      const instances = (hosts.get(host) ?? 0) + sign;
      keep(hosts, host, instances, instances === 0);
      keep(this.#withKey, key, hosts, hosts.size === 0);
      const account = key.slice(0, key.indexOf("."));
      const functionKey = key.slice(0, key.indexOf(".", account.length + 1));
      add(this.#ofFunction, functionKey, sign * (idle + busy + loading));
      add(this.#ofAccount, account, sign * (idle + busy + loading));
    }
  }

  #count(order: Order, sign: 1 | -1): void {
    this.#hosts.get(order.host)?.order(order, sign);
    if (order.rung !== "hot") {
      const hosts = this.#orderedAt.get(order.key) ?? new Map<string, number>();
      add(hosts, order.host, sign);
      keep(this.#orderedAt, order.key, hosts, hosts.size === 0);
      add(this.#ofFunction, order.functionKey, sign);
      add(this.#ofAccount, order.account, sign);
      add(this.#orderedOfFunction, order.functionKey, sign);
      add(this.#orderedOfAccount, order.account, sign);
    }
    if (order.rung === "warm" || order.rung === "cold") add(this.#instancesOrdered, order.functionKey, sign);
  }
}

/** A full announcement repeats what has not changed. */
function isSame(a: InstanceHint, b: InstanceHint): boolean {
  if (a.usedMb !== b.usedMb || a.state !== b.state || a.account !== b.account || a.spares !== b.spares || a.booting !== b.booting)
    return false;
  if (a.memoryMb !== b.memoryMb || a.runtime !== b.runtime || a.network !== b.network) return false;
  if (a.slots.length !== b.slots.length || a.code.length !== b.code.length) return false;
  for (const [at, slot] of a.slots.entries()) {
    const other = b.slots[at];
    if (
      other === undefined ||
      slot.key !== other.key ||
      slot.idle !== other.idle ||
      slot.busy !== other.busy ||
      slot.loading !== other.loading
    )
      return false;
  }
  return a.code.every((code, at) => code === b.code[at]);
}

function add(sums: Map<string, number>, key: string, more: number): void {
  const sum = (sums.get(key) ?? 0) + more;
  keep(sums, key, sum, sum === 0);
}
