/**
 * The instances of a host: booting, allocating, giving containers to slots, ending.
 *
 * I1  An instance serves at most one account in its life; the end of its last assigned container is its own end.
 * I2  What is promised counts: amounts of containers that wait for a boot are taken from instance and host at once.
 * I3  A container that ended, failed to load or timed out is never used again.
 */
import { Fault } from "../../protocol/errors.ts";
import type { Thrown } from "../../protocol/frames.ts";
import { LIMITS } from "../../protocol/limits.ts";
import type { RuntimeName } from "../../protocol/runtimes.ts";
import type { FunctionClass } from "../../protocol/vocabulary.ts";
import { instanceMachine } from "../instance/machine.ts";
import type { EndCause, Sandbox, SandboxedContainer } from "../instance/sandbox.ts";
import type { Clock, Log, Random } from "../kit/ports.ts";
import { startActor } from "../kit/start-actor.ts";
import { Boots } from "./boots.ts";
import { Container, type ContainerOwner } from "./container.ts";
import type { Counters } from "./counters.ts";
import type { CreateTimes } from "./create-times.ts";
import { faultOfEnd } from "./ends.ts";
import { Instance } from "./instance.ts";
import type { Loader } from "./loader.ts";
import { Loads } from "./loads.ts";
import type { Provision } from "./provision.ts";
import type { Slot } from "./slot.ts";

/** Told what becomes of instances and containers. */
export interface InstancesOwner extends Pick<ContainerOwner, "result" | "failed" | "givenBack" | "output" | "request" | "late"> {
  /** Something to announce. */
  changed(instance: Instance): void;
  gone(instance: Instance): void;
  /** A container has its code: it is free for its slot's next call. */
  ready(container: Container): void;
  /** A container for the slot could not be made. `mapped`: digest whose map explains the stack. */
  unmade(provision: Provision, fault: Fault, stack: string | undefined): void;
  /** A container of a slot ended, idle or in the middle of a call. */
  lost(container: Container, slot: Slot, fault: Fault): void;
  /** A warm instance left, by allocation or end. */
  warmLeft(): void;
}

export interface InstancesPorts {
  readonly host: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly sandbox: Sandbox;
  readonly loader: Loader;
  readonly counters: Counters;
  readonly times: CreateTimes;
  readonly memoryMb: number;
  readonly sparesPerInstance: number;
}

export class Instances implements ContainerOwner {
  readonly #ports: InstancesPorts;
  readonly #owner: InstancesOwner;
  readonly #instances = new Map<string, Instance>();
  readonly #boots: Boots;
  readonly #loads: Loads;
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
    const { clock, sandbox, loader } = ports;
    this.#boots = new Boots({
      clock,
      sandbox,
      booted: (instance, box) => this.#booted(instance, box),
      failed: (instance, fault) => this.#bootFailed(instance, fault),
    });
    this.#loads = new Loads({
      clock,
      loader,
      failed: (container, provision, fault, stack) => {
        this.#forget(container);
        this.stop(container);
        this.#unmade(container.instance, provision, fault, stack);
      },
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
    let used = 0;
    for (const instance of this.#instances.values()) {
      used += instance.usedMb + (instance.containers.size + instance.booting) * LIMITS.boxMemory.value;
    }
    return used;
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
    const actor = startActor(instanceMachine, { account }, (error) => {
      this.#ports.counters.add("machine.failed");
      this.#ports.log.error("instance machine failed", { instance: id, error: String(error) });
    });
    const instance = new Instance({ id, runtime, memoryMb, network, actor });
    this.#instances.set(id, instance);
    if (account === null) this.#boots.start(instance, false);
    this.#owner.changed(instance);
    return instance;
  }

  /** Gives a warm instance to an account, for good. */
  allocate(instance: Instance, account: string, classOf: FunctionClass): void {
    instance.actor.send({ type: "allocated", account });
    instance.class = classOf;
    this.#owner.changed(instance);
  }

  /** A warm instance was allocated, and what it is for counts already: the pool may use what is left. */
  warmLeft(): void {
    this.#owner.warmLeft();
  }

  /** Makes a container for a slot, from a spare or an urgent boot. Legal while the instance has room. */
  provision(instance: Instance, provision: Provision): void {
    instance.usedMb += provision.slot.memoryMb;
    instance.assigned++;
    provision.slot.loading++;
    const spare = instance.spares.pop();
    if (spare) this.#assign(spare, provision);
    else {
      // Also when a spare is being booted at leisure: that one may stand behind others, this one is wanted now.
      provision.boots = true;
      instance.waiting.push(provision);
      this.#boots.start(instance, true);
    }
    this.#owner.changed(instance);
  }

  /** Ends one container of whatever state; its slot has forgotten it, or `lost` will tell. */
  stop(container: Container): void {
    container.box
      .stop()
      .catch((error: unknown) => this.#ports.log.warn("a container did not stop", { container: container.id, error: String(error) }));
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
    this.#discard(container);
    this.stop(container);
  }

  /** Ends a whole instance, and everything in it. */
  async destroy(instance: Instance): Promise<void> {
    if (instance.state === "draining" || instance.state === "gone") return;
    const wasWarm = instance.account === null;
    instance.actor.send({ type: "drained" });
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
    this.#boots.close();
    await Promise.all([...this.#instances.values()].map((instance) => this.destroy(instance)));
  }

  // from containers

  loaded(container: Container, cachedData: Uint8Array): void {
    const provision = this.#loads.take(container);
    if (!provision) return;
    if (cachedData.length > 0) {
      this.#ports.loader.keep(provision.slot, provision.code, cachedData, (error) => {
        this.#ports.counters.add("cachedData.refused");
        this.#ports.log.debug("cached data was not kept", { error: String(error) });
      });
    }
    remember(container.instance.code, provision.slot.codeKey);
    // Without a spare every rung costs a boot: that says nothing of what the rung costs with one.
    if (provision.rung !== "hot")
      this.#ports.times.took(provision.boots ? "cold" : provision.rung, this.#ports.clock.now() - provision.askedAt);
    provision.slot.loading--;
    this.#owner.changed(container.instance);
    provision.ready?.(container);
    this.#owner.ready(container);
  }

  loadFailed(container: Container, thrown: Thrown): void {
    const said = thrown.message === "" ? thrown.type : `${thrown.type}: ${thrown.message}`;
    this.#loads.fail(container, new Fault("HandlerError", `the function could not be loaded: ${said}`), thrown.stack);
  }

  violated(container: Container, what: string): void {
    this.#ports.counters.add("frames.refused");
    const fault = new Fault("Crashed", `the function's container broke the rules of its channel and was ended: ${what}`);
    this.#ended(container, fault);
    this.stop(container);
  }

  ended(container: Container, cause: EndCause, output: string): void {
    this.#ended(container, faultOfEnd(cause, output, container.slot?.memoryMb ?? container.instance.memoryMb));
  }

  result(container: Container, payload: Uint8Array): void {
    this.#owner.result(container, payload);
  }
  failed(container: Container, isBadResult: boolean, thrown: Thrown): void {
    this.#owner.failed(container, isBadResult, thrown);
  }
  output(container: Container, frame: Parameters<ContainerOwner["output"]>[1]): void {
    this.#owner.output(container, frame);
  }
  request(container: Container, frame: Parameters<ContainerOwner["request"]>[1]): void {
    this.#owner.request(container, frame);
  }
  givenBack(container: Container, number: number): void {
    this.#owner.givenBack(container, number);
  }
  late(container: Container): void {
    this.#owner.late(container);
  }

  // boots

  #booted(instance: Instance, box: SandboxedContainer): void {
    const container = new Container(box, instance, this);
    box.listen(container);
    if (this.#closed || instance.state === "draining" || instance.state === "gone") {
      // It came after its instance was removed, and may have made its group and directory anew.
      this.#removeLate(container);
      return;
    }
    instance.failures = 0;
    instance.runtimeVersion = box.runtimeVersion;
    this.runtimes[instance.runtime] = box.runtimeVersion;
    instance.containers.add(container);
    if (instance.state === "booting") instance.actor.send({ type: "booted" });
    const provision = instance.waiting.shift();
    if (provision) this.#assign(container, provision);
    else {
      // More were booted than are wanted now: an urgent boot overtook one at leisure.
      if (instance.account !== null && instance.spares.length >= Math.max(1, this.#ports.sparesPerInstance)) {
        instance.containers.delete(container);
        container.state = "ended";
        this.stop(container);
      } else instance.spares.push(container);
    }
    this.#refill(instance);
    this.#owner.changed(instance);
  }

  #removeLate(container: Container): void {
    container.state = "ended";
    container.box
      .stop()
      .then(() => this.#ports.sandbox.remove(container.instance.id))
      .catch((error: unknown) =>
        this.#ports.log.error("an instance left something behind", { instance: container.instance.id, error: String(error) }),
      );
  }

  #bootFailed(instance: Instance, fault: Fault): void {
    // What was to be ended while it booted has not failed.
    if (this.#closed || instance.state === "draining" || instance.state === "gone") return;
    instance.failures++;
    this.#ports.counters.add("boot.failed");
    this.#ports.log.warn("a container did not boot", {
      instance: instance.id,
      runtime: instance.runtime,
      failures: instance.failures,
      reason: fault.message,
    });
    const first = instance.waiting[0];
    if (first && instance.waiting.length > instance.booting) {
      first.attempts++;
      if (first.attempts >= LIMITS.bootAttempts.value) {
        instance.waiting.shift();
        this.#unmade(instance, first, fault.name === "BootFailed" ? fault : new Fault("BootFailed", fault.message), undefined);
      }
    }
    this.#boots.afterFailures(instance.failures, () => {
      if (instance.state === "draining" || instance.state === "gone") return;
      if (instance.waiting.length > instance.booting) this.#boots.start(instance, true);
      else if (instance.account === null && instance.booting === 0 && instance.spares.length === 0) this.#boots.start(instance, false);
      else this.#refill(instance);
    });
    this.#endIfUnused(instance);
    this.#owner.changed(instance);
  }

  /** Keeps spares in stock while another container would fit into the instance. */
  #refill(instance: Instance): void {
    if (this.#closed || instance.state !== "active" || instance.failures > 0) return;
    if (instance.freeMb < LIMITS.memoryDefault.value) return;
    while (instance.spares.length + instance.booting - instance.waiting.length < this.#ports.sparesPerInstance) {
      if (!this.hasCapacity(0, true)) return;
      this.#boots.start(instance, false);
    }
  }

  #assign(container: Container, provision: Provision): void {
    this.#loads.begin(container, provision);
    this.#refill(container.instance);
  }

  /** Gives back what was promised for a container that will not be. */
  #unmade(instance: Instance, provision: Provision, fault: Fault, stack: string | undefined): void {
    instance.usedMb -= provision.slot.memoryMb;
    instance.assigned--;
    provision.slot.loading--;
    provision.failed?.(fault);
    this.#owner.unmade(provision, fault, stack);
    this.#owner.changed(instance);
    this.#endIfUnused(instance);
  }

  // ends

  #ended(container: Container, fault: Fault): void {
    if (container.state === "ended") return;
    if (container.state === "loading") {
      this.#loads.fail(
        container,
        fault.name === "Crashed" ? new Fault("HandlerError", `the function could not be loaded: ${fault.message}`) : fault,
        undefined,
      );
      return;
    }
    const { slot, instance } = container;
    if (slot) {
      this.#discard(container, fault);
      return;
    }
    this.#forget(container);
    if (instance.state === "draining" || instance.state === "gone") return;
    // A spare that died: of no account's doing.
    this.#ports.counters.add("spare.lost");
    this.#owner.changed(instance);
    if (instance.account === null) void this.destroy(instance);
    else this.#boots.afterFailures(1, () => this.#refill(instance));
  }

  #discard(container: Container, fault?: Fault): void {
    const { slot, instance } = container;
    if (container.state === "ended" || !slot) return;
    const wasBusy = container.state === "busy";
    this.#forget(container);
    instance.usedMb -= slot.memoryMb;
    instance.assigned--;
    slot.forgetIdle(container);
    slot.busy.delete(container);
    if (wasBusy || fault) this.#owner.lost(container, slot, fault ?? new Fault("InstanceLost", "the container was ended"));
    this.#owner.changed(instance);
    this.#endIfUnused(instance);
    this.#refill(instance);
  }

  #forget(container: Container): void {
    container.state = "ended";
    const { instance } = container;
    instance.containers.delete(container);
    const at = instance.spares.indexOf(container);
    if (at >= 0) instance.spares.splice(at, 1);
  }

  #endIfUnused(instance: Instance): void {
    if (instance.account !== null && instance.assigned === 0 && instance.waiting.length === 0) void this.destroy(instance);
  }
}

function remember(keys: Set<string>, key: string): void {
  keys.delete(key);
  keys.add(key);
  if (keys.size > LIMITS.codeKeys.value) {
    for (const oldest of keys) {
      keys.delete(oldest);
      return;
    }
  }
}
