/**
 * Whether this scheduler leads a class. The lease's revision at the time it was won is the leader's epoch: it goes with every order.
 *
 * L1  Of two leaders the one with the higher epoch is right; hosts refuse the other, and who is refused gives no order any more.
 * L2  A write that failed is no news. A leader steps down when somebody else wrote the lease, when a host refused it, or when it could
 *     not renew the lease for LIMITS.leaseLife by its own clock, counted from when the last successful write was sent: it stops before
 *     the lease goes.
 * L3  The lease is taken by compare-and-set only: from nobody, from an earlier life of the same scheduler, from one that leaves, or from
 *     one unheard for LIMITS.leaseTakeover of time in which the judge itself was connected and awake.
 * L4  A write of one's own that was not answered is found by reading: it neither deposes a leader nor keeps a standby from leading.
 */
import type { Actor } from "xstate";
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import type { FunctionClass, LeaseRecord } from "../../../protocol/vocabulary.ts";
import type { Bus } from "../../kit/bus.ts";
import type { Clock, Log, Stored, Timer } from "../../kit/ports.ts";
import { beginSilence, heard, type Silence, tick } from "../../kit/silence.ts";
import { startActor } from "../../kit/start-actor.ts";
import type { Watch } from "../../kit/transitions.ts";
import { isOver, type Lease, whyTake } from "./lease.ts";
import { managerMachine } from "./machine.ts";

export interface LeadershipPorts {
  readonly control: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly lease: Lease;
  readonly class: FunctionClass;
  readonly node: string;
  /** Which life of the node this is. */
  readonly life: string;
  /** For `pilot inspect`. */
  readonly watch?: Watch;
  /** It leads from now on, or no more. `from`: somebody else held the lease before. */
  changed(leads: boolean, from: string | undefined): void;
}

/** What a scheduler announced. */
export interface Heard {
  readonly node: string;
  readonly epoch: string;
  readonly draining: boolean;
  readonly leads?: readonly FunctionClass[] | undefined;
}

interface Held {
  /** Of its orders: the revision with which it was won. */
  readonly epoch: number;
  readonly revision: number;
  /** When the last write that succeeded was sent; monotonic. */
  readonly writtenAt: number;
}

const JUDGE_MS = 100;

export class Leadership {
  readonly machine: Actor<typeof managerMachine>;
  readonly #ports: LeadershipPorts;
  readonly #record: LeaseRecord;
  readonly #timer: Timer;
  #held: Held | undefined = undefined;
  /** The holder at the last look. */
  #seen: LeaseRecord | undefined = undefined;
  #silence: Silence;
  #hasGone = false;
  #isFirstLook = true;
  /** A request to the store is under way. */
  #asking: Promise<void> | undefined = undefined;
  #askAt = Number.NEGATIVE_INFINITY;
  /** Not before: a host has refused it. */
  #takeAt = Number.NEGATIVE_INFINITY;

  constructor(ports: LeadershipPorts) {
    this.#ports = ports;
    this.#record = { holder: ports.node, life: ports.life };
    this.#silence = beginSilence(ports.clock.now());
    const failed = (error: unknown): void => ports.log.error("the manager's machine failed", { error: String(error) });
    this.machine = startActor(managerMachine, undefined as never, failed, ports.watch);
    this.#timer = ports.clock.every(JUDGE_MS, () => this.#judge());
    this.#ask();
  }

  /** The epoch of its orders; undefined while it does not lead. To be asked before each order. */
  get epoch(): number | undefined {
    const held = this.#held;
    if (held === undefined) return undefined;
    if (!isOver(held.writtenAt, this.#ports.clock.now())) return held.epoch;
    this.#lose("deposed", `the lease could not be renewed for ${LIMITS.leaseLife.value} ms`);
    return undefined;
  }

  /** A scheduler has announced itself. */
  heard(member: Heard): void {
    const { node, life, class: of } = this.#ports;
    if (member.node === node && member.epoch === life) return;
    if (this.#held !== undefined) {
      // It says so, and the store knows.
      if (member.leads?.includes(of)) this.#askNow();
      return;
    }
    const { holder, life: held } = this.#seen ?? {};
    if (member.node !== holder) return;
    if (member.epoch === held) this.#silence = heard(this.#silence);
    const hasGone = member.draining || member.epoch !== held;
    if (hasGone) this.#hasGone = true;
    if (hasGone || member.leads?.includes(of) === false) this.#askNow();
  }

  /** A host has refused an order: it obeys the leader of that epoch. */
  fenced(epoch: number): void {
    const held = this.#held;
    if (held === undefined || epoch <= held.epoch) return;
    // Where the bucket was made anew its revisions began again: hosts forget the old epoch after LIMITS.leaderMemory.
    this.#takeAt = this.#ports.clock.now() + LIMITS.leaseTakeover.value;
    this.#lose("refused", `a host obeys the leader of epoch ${epoch}, this one's is ${held.epoch}`);
    void this.#release(held.revision);
  }

  /** Leads no more and never again; resolves when the lease is given back, or could not be. */
  async drain(): Promise<void> {
    this.#timer.cancel();
    const held = this.#held;
    if (held === undefined) this.machine.send({ type: "drain", reason: "the scheduler stops" });
    else this.#lose("drain", "the scheduler stops");
    // A write that is under way may still win, and gives back by itself.
    await this.#asking;
    if (held !== undefined) await this.#release(held.revision);
    else if (this.#is("leaving")) this.machine.send({ type: "released", reason: "nothing was held" });
  }

  #is(state: "standby" | "acquiring" | "leading" | "leaving"): boolean {
    return this.machine.getSnapshot().value === state;
  }

  #judge(): void {
    const { clock, control } = this.#ports;
    const now = clock.now();
    const { silentMs } = this.#silence;
    this.#silence = tick(this.#silence, now, JUDGE_MS);
    if (!control.connected) this.#silence = { ...this.#silence, silentMs };
    if (this.epoch !== undefined) {
      if (now >= this.#askAt) this.#ask();
      return;
    }
    const isSilent = this.#seen !== undefined && this.#silence.silentMs >= LIMITS.leaseTakeover.value;
    if (now >= this.#askAt || isSilent) this.#ask();
  }

  /** At once, or with the next look at the clock where a request is under way. */
  #askNow(): void {
    this.#askAt = Number.NEGATIVE_INFINITY;
    this.#ask();
  }

  /** Asks the store as its state wants it, one request at a time. */
  #ask(): void {
    if (this.#asking !== undefined) return;
    const work = this.#held === undefined ? this.#look() : this.#renew(this.#held);
    this.#asking = work.finally(() => {
      this.#asking = undefined;
    });
  }

  async #renew(held: Held): Promise<void> {
    const { clock, lease, class: of, log } = this.#ports;
    const sentAt = clock.now();
    this.#askAt = sentAt + LIMITS.leaseRenew.value;
    try {
      this.#renewed(held, await lease.update(of, this.#record, held.revision), sentAt);
    } catch (thrown) {
      this.#askAt = clock.now() + LIMITS.leaseLook.value;
      if (!isConflict(thrown)) return log.debug("the lease was not renewed; that is no news", { error: Fault.from(thrown).message });
      await this.#contested(held);
    }
  }

  /** Somebody wrote the lease: this scheduler itself, by a write that was not answered, or another. */
  async #contested(held: Held): Promise<void> {
    const { lease, class: of } = this.#ports;
    const stored = await lease.read(of).catch(() => null);
    if (this.#held !== held || stored === null) return;
    if (stored !== undefined && this.#isMine(stored.value)) {
      this.#held = { ...held, revision: stored.revision };
      this.#askAt = Number.NEGATIVE_INFINITY;
      return;
    }
    this.#see(stored);
    this.#lose("deposed", stored === undefined ? "the lease is gone" : `${stored.value.holder} holds the lease`);
  }

  #renewed(held: Held, revision: number, writtenAt: number): void {
    if (this.#held === held) this.#held = { ...held, revision, writtenAt };
    // It stepped down meanwhile: what it gave back was the lease before this write.
    else if (this.#held === undefined) void this.#release(revision);
  }

  async #look(): Promise<void> {
    const { clock, lease, class: of, log } = this.#ports;
    if (!this.#is("standby")) return;
    this.#askAt = clock.now() + LIMITS.leaseLook.value;
    let stored: Stored<LeaseRecord> | undefined;
    try {
      stored = await lease.read(of);
    } catch (thrown) {
      return log.debug("the lease was not read; that is no news", { error: Fault.from(thrown).message });
    }
    this.#see(stored);
    const { node, life } = this.#ports;
    const view = { node, life, isFirstLook: this.#isFirstLook, hasGone: this.#hasGone, silentMs: this.#silence.silentMs };
    const reason = whyTake(stored?.value, view);
    this.#isFirstLook = false;
    if (reason !== undefined && clock.now() >= this.#takeAt && this.#is("standby")) await this.#take(stored, reason);
  }

  async #take(stored: Stored<LeaseRecord> | undefined, reason: string): Promise<void> {
    const { clock, lease, class: of, log } = this.#ports;
    this.machine.send({ type: "free", reason });
    const writtenAt = clock.now();
    let revision: number;
    try {
      revision = stored === undefined ? await lease.create(of, this.#record) : await lease.update(of, this.#record, stored.revision);
    } catch (thrown) {
      this.machine.send({ type: "missed", reason: Fault.from(thrown).message });
      return;
    }
    if (!this.#is("acquiring")) return this.#release(revision);
    this.#held = { epoch: revision, revision, writtenAt };
    this.#seen = this.#record;
    this.#hasGone = false;
    this.#askAt = writtenAt + LIMITS.leaseRenew.value;
    this.machine.send({ type: "won", reason });
    log.info("leads", { class: of, epoch: revision, reason });
    this.#ports.changed(true, stored?.value.holder);
  }

  /** What the store says of the holder. */
  #see(stored: Stored<LeaseRecord> | undefined): void {
    const { holder, life } = stored?.value ?? {};
    if (this.#seen?.holder === holder && this.#seen?.life === life) return;
    this.#seen = stored?.value;
    this.#hasGone = false;
    this.#silence = beginSilence(this.#ports.clock.now());
  }

  #isMine({ holder, life }: LeaseRecord): boolean {
    return holder === this.#record.holder && life === this.#record.life;
  }

  #lose(type: "deposed" | "refused" | "drain", reason: string): void {
    this.#held = undefined;
    this.#silence = beginSilence(this.#ports.clock.now());
    this.machine.send({ type, reason });
    this.#ports.log[type === "drain" ? "info" : "warn"]("leads no more", { class: this.#ports.class, reason });
    this.#ports.changed(false, undefined);
  }

  async #release(revision: number): Promise<void> {
    const { lease, class: of, log } = this.#ports;
    await lease.delete(of, revision).catch((thrown: unknown) => {
      log.debug("the lease was not given back", { error: Fault.from(thrown).message });
    });
    this.machine.send({ type: "released", reason: "the lease was given back" });
  }
}

const isConflict = (thrown: unknown): boolean => thrown instanceof Fault && thrown.name === "Conflict";
