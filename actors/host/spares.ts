/**
 * Blank containers of instances: booted for provisions that wait, and kept in stock, so that the next container of an
 * instance is an assignment and not a boot.
 *
 * B1  A booted container goes to the provision that has waited longest; only without one does it become a spare.
 * B2  Boots that fail are tried again after pauses that grow, and a provision has LIMITS.bootAttempts of them.
 */
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import type { RuntimeName } from "../../protocol/runtimes.ts";
import type { Sandbox, SandboxedContainer } from "../instance/sandbox.ts";
import type { Clock, Log } from "../kit/ports.ts";
import { Boots } from "./boots.ts";
import type { Container } from "./container.ts";
import type { Containers } from "./containers.ts";
import type { Counters } from "./counters.ts";
import type { Instance } from "./instance.ts";
import type { Provision } from "./provision.ts";

export interface SparesPorts {
  readonly clock: Clock;
  readonly log: Log;
  readonly sandbox: Sandbox;
  readonly counters: Counters;
  readonly containers: Containers;
  readonly sparesPerInstance: number;
  /** Version texts, learnt here from booted containers. */
  readonly runtimes: Partial<Record<RuntimeName, string>>;
  /** True when the host has memory for one more box. */
  hasCapacity(): boolean;
  changed(instance: Instance): void;
  /** A provision waited in vain; what was promised for it counts still. */
  unmade(instance: Instance, provision: Provision, fault: Fault): void;
  /** Boots failed: an instance that nothing waits for any more may end. */
  endIfUnused(instance: Instance): void;
}

export class Spares {
  readonly #ports: SparesPorts;
  readonly #boots: Boots;
  #closed = false;

  constructor(ports: SparesPorts) {
    this.#ports = ports;
    const { clock, sandbox } = ports;
    this.#boots = new Boots({
      clock,
      sandbox,
      booted: (instance, box) => this.#booted(instance, box),
      failed: (instance, fault) => this.#bootFailed(instance, fault),
    });
  }

  /** Boots the first container of an instance of the pool, at leisure. */
  stock(instance: Instance): void {
    this.#boots.start(instance, false);
  }

  /** Gives a spare to the provision, or boots a container for it at once. */
  give(instance: Instance, provision: Provision): void {
    const spare = instance.spares.pop();
    if (spare) this.#assign(spare, provision);
    else {
      // Also when a spare is being booted at leisure: that one may stand behind others, this one is wanted now.
      provision.boots = true;
      instance.waiting.push(provision);
      this.#boots.start(instance, true);
    }
  }

  /** Keeps spares in stock while another container would fit into the instance. */
  refill(instance: Instance): void {
    if (this.#closed || instance.state !== "active" || instance.failures > 0) return;
    if (instance.freeMb < LIMITS.memoryDefault.value) return;
    while (instance.spares.length + instance.booting - instance.waiting.length < this.#ports.sparesPerInstance) {
      if (!this.#ports.hasCapacity()) return;
      this.#boots.start(instance, false);
    }
  }

  /** The same after a pause: a spare ended by itself. */
  refillLater(instance: Instance): void {
    this.#boots.afterFailures(1, () => this.refill(instance));
  }

  /** Boots nothing more; what is under way is stopped when it comes. */
  close(): void {
    this.#closed = true;
    this.#boots.close();
  }

  #assign(container: Container, provision: Provision): void {
    this.#ports.containers.load(container, provision);
    this.refill(container.instance);
  }

  #booted(instance: Instance, box: SandboxedContainer): void {
    const { containers, runtimes } = this.#ports;
    const container = containers.blank(box, instance);
    if (this.#isOver(instance)) {
      // It came after its instance was removed, and may have made its group and directory anew.
      this.#removeLate(container);
      return;
    }
    instance.failures = 0;
    instance.runtimeVersion = box.runtimeVersion;
    runtimes[instance.runtime] = box.runtimeVersion;
    instance.containers.add(container);
    if (instance.state === "booting") {
      const { account } = instance;
      const reason = account === null ? "to be warm" : `for account ${account}, class ${instance.class}`;
      instance.actor.send({ type: "booted", reason });
    }
    const provision = instance.waiting.shift();
    if (provision) this.#assign(container, provision);
    else if (this.#hasEnough(instance)) containers.retire(container);
    else instance.spares.push(container);
    this.refill(instance);
    this.#ports.changed(instance);
  }

  /** True where more were booted than are wanted now: an urgent boot overtook one at leisure. */
  #hasEnough(instance: Instance): boolean {
    return instance.account !== null && instance.spares.length >= Math.max(1, this.#ports.sparesPerInstance);
  }

  #removeLate(container: Container): void {
    const { id } = container.instance;
    container.state = "ended";
    container.box
      .stop()
      .then(() => this.#ports.sandbox.remove(id))
      .catch((error: unknown) => this.#ports.log.error("an instance left something behind", { instance: id, error: String(error) }));
  }

  #bootFailed(instance: Instance, fault: Fault): void {
    // What was to be ended while it booted has not failed.
    if (this.#isOver(instance)) return;
    instance.failures++;
    this.#ports.counters.add("boot.failed");
    this.#ports.counters.hit(fault);
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
        this.#ports.counters.add("limit.bootAttempts");
        instance.waiting.shift();
        this.#ports.unmade(instance, first, fault.name === "BootFailed" ? fault : new Fault("BootFailed", fault.message));
      }
    }
    this.#boots.afterFailures(instance.failures, () => this.#bootAgain(instance));
    this.#ports.endIfUnused(instance);
    this.#ports.changed(instance);
  }

  #bootAgain(instance: Instance): void {
    if (instance.state === "draining" || instance.state === "gone") return;
    if (instance.waiting.length > instance.booting) this.#boots.start(instance, true);
    else if (instance.account === null && instance.booting === 0 && instance.spares.length === 0) this.#boots.start(instance, false);
    else this.refill(instance);
  }

  #isOver(instance: Instance): boolean {
    return this.#closed || instance.state === "draining" || instance.state === "gone";
  }
}
