/**
 * Which functions are busy: from the hosts' cumulative counts, so that a lost announcement costs nothing.
 * Busy after three calls in ten seconds, rare again after a minute without; `fn set --class` decides otherwise.
 */

import type { HostAnnouncement } from "../../protocol/messages/host.ts";
import type { FunctionClass } from "../../protocol/vocabulary.ts";

const BUSY_CALLS = 3;
export const BUSY_WINDOW_MS = 10_000;
export const BUSY_STAYS_MS = 60_000;

interface Use {
  /** host|epoch → its cumulative count. */
  readonly counts: Map<string, number>;
  /** Times of the latest calls, oldest first; as many as the criterion needs. */
  recent: number[];
  busyUntil: number;
}

export class Classes {
  readonly #use = new Map<string, Use>();

  /** Learns from an announcement; returns the functions (account.function) that became busy by it. */
  announced(announcement: HostAnnouncement, now: number): string[] {
    const became: string[] = [];
    for (const row of announcement.functions) {
      const key = `${row.account}.${row.function}`;
      let use = this.#use.get(key);
      if (use === undefined) this.#use.set(key, (use = { counts: new Map(), recent: [], busyUntil: 0 }));
      const source = `${announcement.host}|${announcement.epoch}`;
      const fresh = row.calls - (use.counts.get(source) ?? 0);
      if (fresh <= 0) continue;
      use.counts.set(source, row.calls);
      for (let nth = 0; nth < Math.min(fresh, BUSY_CALLS); nth++) use.recent.push(now);
      use.recent = use.recent.slice(-BUSY_CALLS);
      if (use.recent.length < BUSY_CALLS || now - (use.recent[0] ?? 0) > BUSY_WINDOW_MS) continue;
      if (now >= use.busyUntil) became.push(key);
      use.busyUntil = now + BUSY_STAYS_MS;
    }
    return became;
  }

  /** The class from use alone. */
  classOf(key: string, now: number): FunctionClass {
    const use = this.#use.get(key);
    return use !== undefined && now < use.busyUntil ? "busy" : "rare";
  }

  /** Functions that are busy by use now. */
  busy(now: number): string[] {
    return [...this.#use].filter(([, use]) => now < use.busyUntil).map(([key]) => key);
  }

  hostLost(host: string, epoch: string): void {
    for (const use of this.#use.values()) use.counts.delete(`${host}|${epoch}`);
  }

  /** Forgets functions unused for an hour; to be called now and then. */
  sweep(now: number): void {
    for (const [key, use] of this.#use) if (now - (use.recent.at(-1) ?? 0) > 3_600_000) this.#use.delete(key);
  }
}
