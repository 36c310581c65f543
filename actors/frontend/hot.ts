/** Which hosts have an idle container of which code, as announced: a hint, since the host decides. */
import type { HostAnnouncement, InstanceHint } from "../../protocol/messages/host.ts";

interface IdleOnHost {
  /** Instance → idle containers there. */
  readonly announced: Map<string, number>;
  /** Calls sent there since the last announcement of this key. */
  borrowed: number;
}

export class HotIndex {
  readonly #byKey = new Map<string, Map<string, IdleOnHost>>();
  /** Host → instance → its keys, to take back what an older announcement said. */
  readonly #instances = new Map<string, Map<string, readonly string[]>>();

  announced(announcement: HostAnnouncement): void {
    const { host } = announcement;
    const known = this.#instances.get(host) ?? new Map<string, readonly string[]>();
    this.#instances.set(host, known);
    if (announcement.full) {
      const present = new Set(announcement.instances.map((instance) => instance.id));
      for (const id of [...known.keys()]) if (!present.has(id)) this.#forget(host, known, id);
    }
    for (const id of announcement.gone) this.#forget(host, known, id);
    for (const instance of announcement.instances) this.#learn(host, known, instance, announcement.draining);
  }

  /** A host with an idle container for the key, or undefined. Counts it as taken until the host announces again. */
  borrow(key: string): string | undefined {
    const hosts = this.#byKey.get(key);
    if (hosts === undefined) return undefined;
    for (const [host, idle] of hosts) {
      let sum = 0;
      for (const count of idle.announced.values()) sum += count;
      if (sum > idle.borrowed) {
        idle.borrowed++;
        return host;
      }
    }
    return undefined;
  }

  lost(host: string): void {
    const known = this.#instances.get(host);
    if (known === undefined) return;
    for (const id of [...known.keys()]) this.#forget(host, known, id);
    this.#instances.delete(host);
  }

  #learn(host: string, known: Map<string, readonly string[]>, instance: InstanceHint, draining: boolean): void {
    this.#forget(host, known, instance.id);
    if (draining || instance.state !== "active") return;
    known.set(
      instance.id,
      instance.slots.map((slot) => slot.key),
    );
    for (const slot of instance.slots) {
      let hosts = this.#byKey.get(slot.key);
      if (hosts === undefined) this.#byKey.set(slot.key, (hosts = new Map()));
      let idle = hosts.get(host);
      if (idle === undefined) hosts.set(host, (idle = { announced: new Map(), borrowed: 0 }));
      idle.announced.set(instance.id, slot.idle);
      idle.borrowed = 0;
    }
  }

  #forget(host: string, known: Map<string, readonly string[]>, id: string): void {
    for (const key of known.get(id) ?? []) {
      const hosts = this.#byKey.get(key);
      const idle = hosts?.get(host);
      if (hosts === undefined || idle === undefined) continue;
      idle.announced.delete(id);
      if (idle.announced.size === 0) hosts.delete(host);
      if (hosts.size === 0) this.#byKey.delete(key);
    }
    known.delete(id);
  }
}
