/**
 * The instances of a host: booted, given to accounts, ended. Their memory is counted in amounts.ts (I2), their blank
 * containers come from spares.ts, and containers.ts has what becomes of those (I3).
 *
 * I1  An instance serves at most one account in its life; the end of its last assigned container is its own end.
 */
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import type { RuntimeName } from "../../protocol/runtimes.ts";
import type { FunctionClass } from "../../protocol/vocabulary.ts";
import { instanceMachine } from "../instance/machine.ts";
import type { Sandbox } from "../instance/sandbox.ts";
import type { Clock, Log, Random } from "../kit/ports.ts";
import { startActor } from "../kit/start-actor.ts";
import type { Transitions } from "../kit/transitions.ts";
import { promise, promisedMb, withdraw } from "./amounts.ts";
import type { Container } from "./container.ts";
import { Containers, type ContainersOwner } from "./containers.ts";
import type { Counters } from "./counters.ts";
import type { CreateTimes } from "./create-times.ts";
import { Instance } from "./instance.ts";
import type { Loader } from "./loader.ts";
import type { Provision } from "./provision.ts";
import { Spares } from "./spares.ts";

/** Told what becomes of instances and containers. */
export interface InstancesOwner extends ContainersOwner {
  gone(instance: Instance): void;
  /** A container for the slot could not be made. */
  unmade(provision: Provision, fault: Fault, stack: string | undefined): void;
  /** A warm instance left, by allocation or end. */
  warmLeft(): void;
}

export interface InstancesPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly sandbox: Sandbox;
  readonly loader: Loader;
  readonly counters: Counters;
  readonly times: CreateTimes;
  readonly transitions: Transitions;
  readonly memoryMb: number;
  readonly sparesPerInstance: number;
}

export class Instances {
  readonly #ports: InstancesPorts;
  readonly #owner: InstancesOwner;
  readonly #instances = new Map<string, Instance>();
  readonly #containers: Containers;
  readonly #spares: Spares;
  readonly #prefix: string;
  #count = 0;
  #closed = false;
  /** Version texts learnt from booted containers. */
  readonly runtimes: Partial<Record<RuntimeName, string>>;

  constructor(ports: InstancesPorts, runtimes: Partial<Record<RuntimeName, string>>, owner: InstancesOwner) {
    this.#ports = ports;
    this.#owner = owner;
    this.runtimes = { ...runtimes };
    this.#prefix = ports.random.id(6);
    const { clock, log, sandbox, loader, counters, times, sparesPerInstance } = ports;
    this.#containers = new Containers(
      {
        clock,
        log,
        loader,
        counters,
        times,
        unmade: (instance, provision, fault, stack) => this.#unmade(instance, provision, fault, stack),
        left: (instance) => {
          this.#endIfUnused(instance);
          this.#spares.refill(instance);
        },
        spareLost: (instance) => {
          if (instance.account === null) void this.destroy(instance, "its blank container ended while nobody had it");
          else this.#spares.refillLater(instance);
        },
      },
      owner,
    );
    this.#spares = new Spares({
      clock,
      log,
      sandbox,
      counters,
      containers: this.#containers,
      sparesPerInstance,
      runtimes: this.runtimes,
      hasCapacity: () => this.hasCapacity(0, true),
      changed: (instance) => owner.changed(instance),
      unmade: (instance, provision, fault) => this.#unmade(instance, provision, fault, undefined),
      endIfUnused: (instance) => this.#endIfUnused(instance),
    });
  }

  all(): IterableIterator<Instance> {
    return this.#instances.values();
  }

  find(id: string): Instance | undefined {
    return this.#instances.get(id);
  }

  /** Memory that is promised, in MB: amounts of containers, and every box. */
  get usedMb(): number {
    return promisedMb(this.#instances.values());
  }

  /** True when the host may promise that much more, a box for it included when one must be booted. */
  hasCapacity(memoryMb: number, boots: boolean): boolean {
    return !this.#closed && this.usedMb + memoryMb + (boots ? LIMITS.boxMemory.value : 0) <= this.#ports.memoryMb;
  }

  /** The smallest warm instance that is large enough. */
  findWarm(runtime: RuntimeName, memoryMb: number): Instance | undefined {
    let best: Instance | undefined;
    for (const instance of this.#instances.values()) {
      if (instance.state !== "warm" || instance.runtime !== runtime || instance.memoryMb < memoryMb) continue;
      if (best === undefined || instance.memoryMb < best.memoryMb) best = instance;
    }
    return best;
  }

  /** Boots an instance: for an account, or for the pool when that is null. */
  boot(runtime: RuntimeName, memoryMb: number, network: boolean, account: string | null): Instance {
    const id = `${this.#prefix}-${(this.#count++).toString(36)}`;
    const failed = (error: unknown) => {
      this.#ports.counters.add("machine.failed");
      this.#ports.log.error("instance machine failed", { instance: id, error: String(error) });
    };
    const actor = startActor(instanceMachine, { account }, failed, this.#ports.transitions.watch(`instance/${id}`));
    const instance = new Instance({ id, runtime, memoryMb, network, actor });
    this.#instances.set(id, instance);
    if (account === null) this.#spares.stock(instance);
    this.#owner.changed(instance);
    return instance;
  }

  /** Gives a warm instance to an account, for good. */
  allocate(instance: Instance, account: string, classOf: FunctionClass): void {
    instance.actor.send({ type: "allocated", account, reason: `to account ${account}, class ${classOf}` });
    instance.class = classOf;
    this.#owner.changed(instance);
  }

  /** A warm instance was allocated, and what it is for counts already: the pool may use what is left. */
  warmLeft(): void {
    this.#owner.warmLeft();
  }

  /** Makes a container for a slot, from a spare or an urgent boot. Legal while the instance has room. */
  provision(instance: Instance, provision: Provision): void {
    promise(instance, provision);
    this.#spares.give(instance, provision);
    this.#owner.changed(instance);
  }

  /** Keeps an instance while its containers change; call what is returned when that is done. */
  hold(instance: Instance): () => void {
    instance.assigned++;
    return () => {
      instance.assigned--;
      this.#endIfUnused(instance);
    };
  }

  /** Takes a container out of its slot and stops it; the instance goes with its last one. */
  discard(container: Container): void {
    this.#containers.discard(container);
  }

  /** Ends a container that broke the rules of its channel, and tells its call so. */
  violated(container: Container, what: string): void {
    this.#containers.violated(container, what);
  }

  /** Ends a whole instance, and everything in it; `reason` says why in words. */
  async destroy(instance: Instance, reason: string): Promise<void> {
    if (instance.state === "draining" || instance.state === "gone") return;
    const wasWarm = instance.account === null;
    instance.actor.send({ type: "drained", reason });
    this.#owner.changed(instance);
    const waiting = instance.waiting.splice(0);
    for (const provision of waiting)
      this.#unmade(instance, provision, new Fault("InstanceLost", "the instance was ended before it was ready"), undefined);
    const containers = [...instance.containers];
    instance.spares.length = 0;
    await Promise.all(containers.map((container) => container.box.stop().catch(() => undefined)));
    await this.#ports.sandbox.remove(instance.id).catch((error: unknown) => {
      this.#ports.counters.add("instance.removeFailed");
      this.#ports.log.error("an instance left something behind", { instance: instance.id, error: String(error) });
    });
    instance.actor.send({ type: "removed" });
    this.#instances.delete(instance.id);
    this.#owner.gone(instance);
    if (wasWarm) this.#owner.warmLeft();
  }

  /** Ends all instances and boots nothing more. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#spares.close();
    await Promise.all([...this.#instances.values()].map((instance) => this.destroy(instance, "the host stops")));
  }

  /** Something promised will not be: what counted for it is given back. */
  #unmade(instance: Instance, provision: Provision, fault: Fault, stack: string | undefined): void {
    withdraw(instance, provision);
    provision.failed?.(fault);
    this.#owner.unmade(provision, fault, stack);
    this.#owner.changed(instance);
    this.#endIfUnused(instance);
  }

  #endIfUnused(instance: Instance): void {
    if (instance.account !== null && instance.assigned === 0 && instance.waiting.length === 0)
      void this.destroy(instance, instance.state === "booting" ? "what it was booted for is no more" : "its last container ended");
  }
}
