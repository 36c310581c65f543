/**
 * One simulated process: two connections, a clock and storage that stop with it. It may die, hang and thaw, or lose its broker.
 *
 * N1  A dead process does nothing any more: its timers, reads and connections are gone, also those under way.
 * N2  A hung process does nothing until it thaws; then what piled up happens in order, each repeating timer once.
 */
import type { Bucket, Clock, Timer } from "../../actors/kit/ports.ts";
import type { Lease } from "../../actors/scheduler/manager/lease.ts";
import { Fault } from "../../protocol/errors.ts";
import type { ManualClock } from "../support/manual-clock.ts";
import type { MemoryBroker } from "../support/memory-broker.ts";
import { MemoryBus } from "../support/memory-bus.ts";

/** Runs what a process does, now, later or never. */
export class Gate {
  #piled: (() => void)[] | undefined = undefined;
  #dead = false;

  run(action: () => void): void {
    if (this.#dead) return;
    if (this.#piled) this.#piled.push(action);
    else action();
  }

  get isDead(): boolean {
    return this.#dead;
  }

  get isHung(): boolean {
    return this.#piled !== undefined;
  }

  die(): void {
    this.#dead = true;
    this.#piled = undefined;
  }

  hang(): void {
    this.#piled ??= [];
  }

  thaw(): void {
    const piled = this.#piled ?? [];
    this.#piled = undefined;
    for (const action of piled) this.run(action);
  }
}

/** The world's clock as a process sees it. */
export class NodeClock implements Clock {
  readonly #world: ManualClock;
  readonly #gate: Gate;
  readonly #timers = new Set<Timer>();

  constructor(world: ManualClock, gate: Gate) {
    this.#world = world;
    this.#gate = gate;
  }

  /** Timers that are set. */
  get pending(): number {
    return this.#timers.size;
  }

  now(): number {
    return this.#world.now();
  }

  epoch(): number {
    return this.#world.epoch();
  }

  after(ms: number, action: () => void): Timer {
    let cancelled = false;
    const timer = this.#world.after(ms, () => {
      this.#gate.run(() => {
        this.#timers.delete(own);
        if (!cancelled) action();
      });
    });
    const own: Timer = {
      cancel: () => {
        cancelled = true;
        timer.cancel();
        this.#timers.delete(own);
      },
    };
    this.#timers.add(own);
    return own;
  }

  every(ms: number, action: () => void): Timer {
    let cancelled = false;
    let due = false;
    const timer = this.#world.every(ms, () => {
      if (due) return;
      due = true;
      this.#gate.run(() => {
        due = false;
        if (!cancelled) action();
      });
    });
    const own: Timer = {
      cancel: () => {
        cancelled = true;
        timer.cancel();
        this.#timers.delete(own);
      },
    };
    this.#timers.add(own);
    return own;
  }

  soon(action: () => void): void {
    this.#world.soon(() => this.#gate.run(action));
  }

  /** The process is gone. */
  stop(): void {
    for (const timer of [...this.#timers]) timer.cancel();
  }
}

export type Role = "frontend" | "scheduler" | "host";

const WATCH_MS = 250;

/** What every simulated process has. */
export class SimulatedNode {
  readonly id: string;
  readonly role: Role;
  readonly gate = new Gate();
  readonly clock: NodeClock;
  readonly bus: MemoryBus;
  readonly control: MemoryBus;
  readonly bornAt: number;
  /** When it last did not hear or do anything as it should; by the world's clock. */
  readonly troubles: { readonly kind: "kill" | "hang" | "cut"; readonly at: number; until: number }[] = [];
  readonly #world: ManualClock;
  #restored: (() => void)[] = [];

  constructor(id: string, role: Role, world: ManualClock, broker: MemoryBroker, life: number) {
    this.id = id;
    this.role = role;
    this.#world = world;
    this.bornAt = world.now();
    this.clock = new NodeClock(world, this.gate);
    this.bus = new MemoryBus(broker, `${id}#${life}`);
    this.control = new MemoryBus(broker, `${id}#${life}-control`);
  }

  get isDead(): boolean {
    return this.gate.isDead;
  }

  get isWell(): boolean {
    return !this.gate.isDead && !this.gate.isHung && this.bus.connected && this.control.connected;
  }

  kill(): void {
    if (this.gate.isDead) return;
    this.#trouble("kill", Number.POSITIVE_INFINITY);
    this.gate.die();
    this.clock.stop();
    this.bus.disconnect();
    this.control.disconnect();
  }

  /** Its orderly end is over: nothing of it is left, and that was no trouble. */
  leave(): void {
    if (this.gate.isDead) return;
    this.gate.die();
    this.clock.stop();
    this.bus.disconnect();
    this.control.disconnect();
  }

  hang(ms: number): void {
    if (!this.isWell) return;
    this.#trouble("hang", this.#world.now() + ms);
    this.gate.hang();
    this.bus.hang();
    this.control.hang();
    this.#world.after(ms, () => {
      if (this.gate.isDead) return;
      this.gate.thaw();
      this.control.thaw();
      this.bus.thaw();
    });
  }

  /** Loses the broker on both connections. */
  cut(ms: number): void {
    if (!this.isWell) return;
    this.#trouble("cut", this.#world.now() + ms);
    this.bus.disconnect();
    this.control.disconnect();
    this.#world.after(ms, () => {
      if (this.gate.isDead) return;
      this.control.reconnect();
      this.bus.reconnect();
      // A watch begins anew only after a while.
      this.#world.after(WATCH_MS, () => {
        const restored = this.#restored;
        this.#restored = [];
        for (const action of restored) this.gate.run(action);
      });
    });
  }

  /** A bucket as this process reaches it. */
  reach<T>(bucket: Bucket<T>): Bucket<T> {
    const online = <R>(work: () => Promise<R>): Promise<R> => this.#online(work);
    return {
      get: (key) => online(() => bucket.get(key)),
      create: (key, value) => online(() => bucket.create(key, value)),
      update: (key, value, revision) => online(() => bucket.update(key, value, revision)),
      put: (key, value) => online(() => bucket.put(key, value)),
      remove: (key, revision) => online(() => bucket.remove(key, revision)),
      watch: (listener) =>
        bucket.watch((key, value, revision) => {
          const tell = (): void => listener(key, value, revision);
          if (this.gate.isDead) return;
          if (this.control.connected && this.#restored.length === 0) this.gate.run(tell);
          else this.#restored.push(tell);
        }),
    };
  }

  /** The leases as this process reaches them. What it is answered while it hangs it reads when it thaws. */
  reachLease(lease: Lease): Lease {
    const awake = async <R>(work: () => Promise<R>): Promise<R> => {
      const outcome = await this.#online(work).then(
        (result) => () => result,
        (thrown: unknown) => () => {
          throw thrown;
        },
      );
      await new Promise<void>((resolve) => this.gate.run(resolve));
      return outcome();
    };
    return {
      read: (of) => awake(() => lease.read(of)),
      create: (of, record) => awake(() => lease.create(of, record)),
      update: (of, record, revision) => awake(() => lease.update(of, record, revision)),
      delete: (of, revision) => awake(() => lease.delete(of, revision)),
    };
  }

  async #online<R>(work: () => Promise<R>): Promise<R> {
    if (!this.control.connected) throw new Fault("Unavailable", "the broker cannot be reached");
    const result = await work();
    if (this.gate.isDead) return new Promise<R>(() => undefined);
    if (!this.control.connected) throw new Fault("Unavailable", "the broker cannot be reached");
    return result;
  }

  #trouble(kind: "kill" | "hang" | "cut", until: number): void {
    this.troubles.push({ kind, at: this.#world.now(), until });
  }
}
