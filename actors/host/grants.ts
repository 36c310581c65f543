/**
 * The grants that a host holds: leave to answer the public subjects of functions itself, each with its subscriptions in the
 * desk's queue group.
 *
 * G1  A grant of an older epoch than one that is known is not believed, also after that one has ended.
 * G2  A grant that ends is inactive first; then what waits by it is handed on, and its subscriptions are stopped.
 * G3  Whoever ends grants is answered when the broker sends nothing more for them.
 * G4  Nothing is taken or renewed by order of an older leader than one that was heard, and its recall ends no grant that a newer one
 *     gave for the same record. A recall for a newer record holds whoever sends it: that is a fact of the registry, and no decision.
 */
import type { Grant } from "../../protocol/messages/host.ts";
import { DESK, SUBJECT } from "../../protocol/subjects.ts";
import type { Bus, Message, Subscription } from "../kit/bus.ts";
import type { Clock } from "../kit/ports.ts";
import type { Counters } from "./counters.ts";
import type { Slot } from "./slot.ts";
import type { Slots } from "./slots.ts";

/** A grant as the host holds it. Whoever is called with it reads it at once: it is renewed in place. */
export interface Held {
  grant: Grant;
  /** Of the leader that gave it last; undefined: a release before leaders. */
  leaderEpoch: number | undefined;
  slot: Slot;
  /** Monotonic. */
  expiresAt: number;
  isActive: boolean;
  readonly subscriptions: Subscription[];
}

export interface GrantsPorts {
  readonly clock: Clock;
  readonly bus: Bus;
  readonly slots: Slots;
  readonly counters: Counters;
  /** False: no grant is taken. */
  readonly answersDirectly: boolean;
  isTaking(): boolean;
  /** A message on the subject of the grant; it may have ended meanwhile. */
  arrived(held: Held, message: Message): void;
  /** The version of the slot is no longer granted. */
  ended(slot: Slot): void;
}

/** Epochs of functions whose grants ended, so that an older grant is not believed. */
const EPOCHS_KEPT = 10_000;

export class Grants {
  readonly #ports: GrantsPorts;
  readonly #held = new Map<string, Held>();
  readonly #epochs = new Map<string, number>();
  readonly #leaving = new Set<Promise<unknown>>();

  constructor(ports: GrantsPorts) {
    this.#ports = ports;
  }

  all(): IterableIterator<Readonly<Held>> {
    return this.#held.values();
  }

  /** Takes or renews a grant, by order of the leader of that epoch, which the fence has admitted. False: it is refused. */
  take(grant: Grant, leaderEpoch: number | undefined): boolean {
    const key = `${grant.account}.${grant.function}`;
    if (!this.#ports.answersDirectly || !this.#ports.isTaking() || grant.epoch < (this.#epochs.get(key) ?? 0)) {
      this.#ports.counters.add("grants.refused");
      return false;
    }
    this.#learn(key, grant.epoch);
    const slot = this.#ports.slots.of(grant);
    const expiresAt = this.#ports.clock.now() + grant.lifeMs;
    let held = this.#held.get(key);
    if (held === undefined) {
      held = { grant, leaderEpoch, slot, expiresAt, isActive: true, subscriptions: [] };
      slot.grants++;
      this.#held.set(key, held);
    } else {
      const before = held.slot;
      held.grant = grant;
      held.leaderEpoch = leaderEpoch;
      held.expiresAt = expiresAt;
      if (before !== slot) {
        slot.grants++;
        held.slot = slot;
        this.#leaveSlot(before);
      }
    }
    slot.isFull = grant.full ?? false;
    this.#subscribe(held);
    return true;
  }

  /**
   * Ends a grant; resolves when the host has left the desk. An older recall than the grant is of no effect: of an older record, or of
   * an older leader where the record is the same.
   */
  async recall(account: string, name: string, epoch: number, leaderEpoch: number | undefined): Promise<void> {
    const key = `${account}.${name}`;
    this.#learn(key, epoch);
    const held = this.#held.get(key);
    const isNewer = held !== undefined && held.grant.epoch <= epoch && !(held.grant.epoch === epoch && isOlder(leaderEpoch, held));
    if (isNewer) await this.#leave(key, held);
    else await Promise.all(this.#leaving);
  }

  /** Ends all grants, and resolves when the desk is left. */
  async leave(): Promise<void> {
    for (const [key, held] of this.#held) void this.#leave(key, held);
    await Promise.all(this.#leaving);
  }

  /** Leaves what has expired. */
  sweep(now: number): void {
    for (const [key, held] of this.#held) {
      if (now < held.expiresAt) continue;
      this.#ports.counters.add("grants.expired");
      void this.#leave(key, held);
    }
  }

  #subscribe(held: Held): void {
    const { bus, arrived } = this.#ports;
    const { account, function: name, subscriptions } = held.grant;
    while (held.subscriptions.length < subscriptions) {
      held.subscriptions.push(bus.listen(SUBJECT.fn(account, name), { queue: DESK }, (message) => arrived(held, message)));
    }
    for (const surplus of held.subscriptions.splice(subscriptions)) void this.#track(surplus.stop());
  }

  #leave(key: string, held: Held): Promise<void> {
    held.isActive = false;
    if (this.#held.get(key) === held) this.#held.delete(key);
    this.#leaveSlot(held.slot);
    return this.#track(Promise.all(held.subscriptions.splice(0).map((subscription) => subscription.stop())));
  }

  #leaveSlot(slot: Slot): void {
    slot.grants--;
    slot.isFull = false;
    this.#ports.ended(slot);
    this.#ports.slots.release(slot);
  }

  #track(left: Promise<unknown>): Promise<void> {
    const settled = left.then(
      () => undefined,
      () => undefined,
    );
    this.#leaving.add(settled);
    return settled.finally(() => this.#leaving.delete(settled));
  }

  #learn(key: string, epoch: number): void {
    const known = this.#epochs.get(key) ?? 0;
    this.#epochs.delete(key);
    this.#epochs.set(key, Math.max(known, epoch));
    if (this.#epochs.size > EPOCHS_KEPT) {
      for (const oldest of this.#epochs.keys()) {
        if (this.#held.has(oldest)) continue;
        this.#epochs.delete(oldest);
        return;
      }
    }
  }
}

/** True when a newer leader gave the grant than the one of that epoch. */
const isOlder = (leaderEpoch: number | undefined, held: Held): boolean =>
  leaderEpoch !== undefined && leaderEpoch < (held.leaderEpoch ?? 0);
