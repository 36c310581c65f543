/**
 * Who is alive, as one node sees it.
 *
 * M1  Silence counts only in time in which the judge itself was connected and running.
 * M2  A new epoch of a known member means that the old one died: it is lost at once.
 */
import { LIMITS } from "../../protocol/limits.ts";
import type { Bus } from "./bus.ts";
import type { Clock, Log, Timer } from "./ports.ts";

export interface Member {
  readonly id: string;
  readonly epoch: string;
  readonly draining: boolean;
  /** Of a host that takes nothing new and does not end: then its draining is not the last that is heard of it. */
  readonly cordoned?: boolean | undefined;
  /** Number of what it says on the wire; undefined: 1. */
  readonly protocol?: number | undefined;
}

interface Known {
  member: Member;
  /** On the judge's own clock of connected time. */
  heard: number;
}

const TICK_MS = 100;

export class Members {
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #onLost: (member: Member) => void;
  readonly #known = new Map<string, Known>();
  readonly #timer: Timer;
  #lived = 0;
  #tick: number;

  /** `onLost` is told once per lost epoch of a member. */
  constructor(bus: Bus, clock: Clock, onLost: (member: Member) => void) {
    this.#bus = bus;
    this.#clock = clock;
    this.#onLost = onLost;
    this.#tick = clock.now();
    this.#timer = clock.every(TICK_MS, () => this.#judge());
  }

  /** Returns true when this epoch of the member was not known before. */
  heard(member: Member): boolean {
    const known = this.#known.get(member.id);
    this.#known.set(member.id, { member, heard: this.#lived });
    if (known === undefined) return true;
    if (known.member.epoch === member.epoch) return false;
    this.#onLost(known.member);
    return true;
  }

  /** How many are living. */
  get size(): number {
    return this.#known.size;
  }

  has(id: string): boolean {
    return this.#known.has(id);
  }

  epochOf(id: string): string | undefined {
    return this.#known.get(id)?.member.epoch;
  }

  /** Ids of the living, sorted; with `taking`, only of those that are not draining. */
  ids(taking = false): string[] {
    const ids: string[] = [];
    for (const { member } of this.#known.values()) if (!(taking && member.draining)) ids.push(member.id);
    return ids.sort();
  }

  /** Ids of those that speak an older protocol than that one, sorted. */
  before(protocol: number): string[] {
    const ids: string[] = [];
    for (const { member } of this.#known.values()) if ((member.protocol ?? 1) < protocol) ids.push(member.id);
    return ids.sort();
  }

  /** How long a member has been silent, in ms of the judge's connected time. */
  silence(id: string): number {
    const known = this.#known.get(id);
    return known === undefined ? Number.POSITIVE_INFINITY : this.#lived - known.heard;
  }

  stop(): void {
    this.#timer.cancel();
  }

  #judge(): void {
    const now = this.#clock.now();
    const passed = now - this.#tick;
    this.#tick = now;
    if (this.#bus.connected) this.#lived += Math.min(passed, 2 * TICK_MS);
    for (const [id, known] of this.#known) {
      if (this.#lived - known.heard <= LIMITS.hostSilence.value) continue;
      this.#known.delete(id);
      this.#onLost(known.member);
    }
  }
}

/** Says that a member is no more: what was draining has left as it was to, anything else is lost. */
export function sayGone(log: Log, role: string, { id, epoch, draining, cordoned }: Member): void {
  if (draining && cordoned !== true) log.info(`${role} left`, { [role]: id, epoch });
  else log.warn(`${role} lost`, { [role]: id, epoch });
}
