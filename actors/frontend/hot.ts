/**
 * Where a frontend may send a call by itself, as hosts announced it: to a host with an idle container of the code, or to one
 * that will have worked off what waits there before it is heard again. A hint: the host decides, and what it declines goes
 * to the keeper.
 */
import { LIMITS } from "../../protocol/limits.ts";
import type { HostAnnouncement, InstanceHint } from "../../protocol/messages/host.ts";

/** Containers of one code at one host. */
interface Place {
  /** By instance: containers that are idle, and all that have the code loaded. */
  readonly announced: Map<string, { readonly idle: number; readonly serving: number }>;
  readonly functionKey: string;
  /** Calls sent there since the last announcement of this key. */
  sent: number;
}

/** What a host runs of one function (account.function). */
interface Load {
  readonly meanRunMs: number;
  /** Calls that wait there. */
  readonly queued: number;
}

/** A host to send a call to, and why there. */
export interface HotHost {
  readonly host: string;
  readonly reason: string;
}

export class HotIndex {
  readonly #byKey = new Map<string, Map<string, Place>>();
  /** Host → instance → its keys, to take back what an older announcement said. */
  readonly #instances = new Map<string, Map<string, readonly string[]>>();
  readonly #loads = new Map<string, Map<string, Load>>();

  announced(announcement: HostAnnouncement): void {
    const { host } = announcement;
    const known = this.#instances.get(host) ?? new Map<string, readonly string[]>();
    this.#instances.set(host, known);
    if (announcement.full) {
      const present = new Set(announcement.instances.map((instance) => instance.id));
      for (const id of [...known.keys()]) if (!present.has(id)) this.#forget(host, known, id);
      this.#loads.delete(host);
    }
    for (const id of announcement.gone) this.#forget(host, known, id);
    for (const instance of announcement.instances) this.#learn(host, known, instance, announcement.draining);
    const loads = this.#loads.get(host) ?? new Map<string, Load>();
    this.#loads.set(host, loads);
    for (const { account, function: name, meanRunMs, queued } of announcement.functions)
      loads.set(`${account}.${name}`, { meanRunMs, queued });
  }

  /**
   * A host for a call of the key: one with an idle container, else, if `mayQueue`, the one with the shortest queue that is
   * worked off within one announcement. Undefined: the keeper should decide. Counts the call until the host announces again.
   * `cap`: most containers of the function. Below one of its own, a host may not make another container for a call that is
   * stuck there: only the keeper knows all of them.
   */
  borrow(key: string, mayQueue: boolean, cap: number = LIMITS.containersPerFunction.value): HotHost | undefined {
    const hosts = this.#byKey.get(key);
    if (hosts === undefined) return undefined;
    let shortest: { readonly host: string; readonly place: Place; readonly waitMs: number } | undefined;
    let containers = 0;
    for (const [host, place] of hosts) {
      let idle = 0;
      let serving = 0;
      for (const count of place.announced.values()) {
        idle += count.idle;
        serving += count.serving;
      }
      if (idle > place.sent) {
        place.sent++;
        return { host, reason: "an idle container has the code" };
      }
      containers += serving;
      if (!mayQueue || serving === 0) continue;
      const load = this.#loads.get(host)?.get(place.functionKey);
      // Nothing has run there yet: how long a call takes is not known.
      if (load === undefined || load.meanRunMs === 0) continue;
      const waitMs = (load.meanRunMs * (load.queued + place.sent - idle + 1)) / serving;
      if (waitMs <= LIMITS.announceEvery.value && (shortest === undefined || waitMs < shortest.waitMs)) shortest = { host, place, waitMs };
    }
    const mayGrow = cap < LIMITS.containersPerFunction.value && containers < cap;
    if (shortest === undefined || mayGrow) return undefined;
    shortest.place.sent++;
    return { host: shortest.host, reason: "the calls there are worked off within milliseconds" };
  }

  lost(host: string): void {
    const known = this.#instances.get(host);
    if (known === undefined) return;
    for (const id of [...known.keys()]) this.#forget(host, known, id);
    this.#instances.delete(host);
    this.#loads.delete(host);
  }

  #learn(host: string, known: Map<string, readonly string[]>, instance: InstanceHint, draining: boolean): void {
    this.#forget(host, known, instance.id);
    if (draining || instance.state !== "active") return;
    known.set(
      instance.id,
      instance.slots.map((slot) => slot.key),
    );
    for (const { key, idle, busy } of instance.slots) {
      let hosts = this.#byKey.get(key);
      if (hosts === undefined) this.#byKey.set(key, (hosts = new Map()));
      let place = hosts.get(host);
      if (place === undefined) hosts.set(host, (place = { announced: new Map(), functionKey: functionOf(key), sent: 0 }));
      place.announced.set(instance.id, { idle, serving: idle + busy });
      place.sent = 0;
    }
  }

  #forget(host: string, known: Map<string, readonly string[]>, id: string): void {
    for (const key of known.get(id) ?? []) {
      const hosts = this.#byKey.get(key);
      const place = hosts?.get(host);
      if (hosts === undefined || place === undefined) continue;
      place.announced.delete(id);
      if (place.announced.size === 0) hosts.delete(host);
      if (hosts.size === 0) this.#byKey.delete(key);
    }
    known.delete(id);
  }
}

/** account.function of a slot key. */
function functionOf(key: string): string {
  return key.slice(0, key.indexOf(".", key.indexOf(".") + 1));
}
