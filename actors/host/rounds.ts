/**
 * What a host looks at a few times a second: gaps in its clock, grants and calls whose time is over, queues that are stuck,
 * containers that are idle for too long, the warm pool.
 */
import { LIMITS } from "../../protocol/limits.ts";
import type { Clock, Log } from "../kit/ports.ts";
import type { Announcements } from "./announcements.ts";
import type { Counters } from "./counters.ts";
import type { Desk } from "./desk.ts";
import type { Gap } from "./gap.ts";
import type { HandedCalls } from "./handed.ts";
import type { Instances } from "./instances.ts";
import type { NestedCalls } from "./nested-calls.ts";
import type { Pool } from "./pool.ts";
import type { Replies } from "./replies.ts";
import type { Reports } from "./reports.ts";
import type { Runner } from "./runner.ts";
import type { Slot } from "./slot.ts";
import type { Slots } from "./slots.ts";
import type { Supply } from "./supply.ts";
import type { Unfinished } from "./unfinished.ts";

/** The parts that are looked after. */
export interface RoundsParts {
  readonly announcements: Announcements;
  readonly counters: Counters;
  readonly gap: Gap;
  readonly replies: Replies;
  readonly reports: Reports;
  readonly desk: Desk;
  readonly handed: HandedCalls;
  readonly nested: NestedCalls;
  readonly slots: Slots;
  readonly instances: Instances;
  readonly supply: Supply;
  readonly runner: Runner;
  readonly pool: Pool;
  readonly unfinished: Unfinished;
}

export class Rounds {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #parts: RoundsParts;
  #retoldAt = Number.NEGATIVE_INFINITY;

  constructor(ports: { readonly clock: Clock; readonly log: Log }, parts: RoundsParts) {
    this.#clock = ports.clock;
    this.#log = ports.log;
    this.#parts = parts;
  }

  /** One round; to be called every LIMITS.hostTick. */
  look(): void {
    const { announcements, counters, gap, replies, reports, desk, handed, nested, slots, pool, unfinished } = this.#parts;
    const now = this.#clock.now();
    const slept = gap.tick(now);
    if (slept > 0) {
      counters.add("clock.gaps");
      this.#log.warn("the process slept; what piled up is refused", { ms: Math.round(slept) });
    }
    // Nothing is begun or told any more by a host that others have declared lost.
    if (announcements.isLost()) return;
    replies.catchUp(now);
    if (now - this.#retoldAt >= LIMITS.longCallsEvery.value) {
      this.#retoldAt = now;
      reports.retell();
    }
    desk.sweep(now);
    handed.sweep();
    nested.sweep();
    for (const slot of [...slots.all()]) {
      if (slot.queued > 0) this.#lookAtQueue(slot, now);
      this.#reclaim(slot, now);
      slots.release(slot);
    }
    pool.refill();
    unfinished.look();
  }

  /** Ends containers that were idle for longer than their function keeps them. */
  #reclaim(slot: Slot, now: number): void {
    const { counters, instances } = this.#parts;
    for (let first = slot.idle[0]; first !== undefined && now - first.idleSince >= slot.keepAliveMs; first = slot.idle[0]) {
      counters.add("containers.reclaimed");
      instances.discard(first);
    }
  }

  /** Ends what has waited too long; and makes a container where runs are so much longer than forecast that the first in line is stuck. */
  #lookAtQueue(slot: Slot, now: number): void {
    const { counters, desk, runner, slots, supply } = this.#parts;
    for (const call of slot.takeOut((waiting) => waiting.waitUntil < now)) runner.expire(call);
    for (const call of slot.waiting()) runner.age(call, now);
    const { first, code } = slot;
    if (first === undefined || code === undefined || slot.loading > 0) return;
    if (now - first.arrivedAt <= Math.max(supply.createMs(slot), LIMITS.hostTick.value)) return;
    // A cap counts containers on all hosts, and only the keeper sees those: it weighs again what came directly.
    if ((first.head?.containers ?? first.grant?.containers ?? 0) < LIMITS.containersPerFunction.value) return desk.handOver(slot);
    if (slots.containersOf(slot.account, slot.function) >= LIMITS.containersPerFunction.value) return;
    const of = first.head?.class ?? first.grant?.class ?? "rare";
    if (supply.makeAnywhere({ slot, code, class: of }, undefined) === undefined) counters.add("queue.overdue");
  }
}
