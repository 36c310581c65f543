/**
 * What becomes of calls when a container ended or could not be made.
 *
 * L1  A call that has begun hears why; one that only waits gets another container where one can be made.
 * L2  Nobody waits for what cannot come: where no container is left and none is made, the calls of the slot end.
 */
import { Fault } from "../../protocol/errors.ts";
import type { Container } from "./container.ts";
import type { Counters } from "./counters.ts";
import type { Instance } from "./instance.ts";
import type { Provision } from "./provision.ts";
import type { Runner } from "./runner.ts";
import type { Slot } from "./slot.ts";
import type { Slots } from "./slots.ts";
import type { Supply } from "./supply.ts";

export interface LossesPorts {
  readonly counters: Counters;
  readonly slots: Slots;
  readonly supply: Supply;
  readonly runner: Runner;
  /** True: the host ends, and nothing is replaced. */
  isEnding(): boolean;
}

export class Losses {
  readonly #ports: LossesPorts;

  constructor(ports: LossesPorts) {
    this.#ports = ports;
  }

  /** A container ended: its call hears why, and calls that wait get another. */
  lost(container: Container, slot: Slot, fault: Fault): void {
    this.#ports.runner.lost(container, fault);
    this.#replace(slot, container.instance, fault);
    this.#ports.slots.release(slot);
  }

  /** A container could not be made: calls that only it could have served hear why. */
  unmade(provision: Provision, fault: Fault, stack: string | undefined): void {
    const { counters, runner, slots, isEnding } = this.#ports;
    const { slot } = provision;
    counters.add(`unmade.${fault.name}`);
    // Of boots each was counted when it failed.
    if (fault.name !== "BootFailed") counters.hit(fault);
    // Its instance was lost under it, which says nothing about the next one.
    if (fault.name === "InstanceLost" && !isEnding()) this.#replace(slot, undefined, fault);
    if (slot.containers === 0) for (const call of slot.takeOut(() => true)) runner.failMapped(call, fault, stack);
    slots.release(slot);
  }

  #replace(slot: Slot, near: Instance | undefined, fault: Fault): void {
    const { code } = slot;
    if (code === undefined || slot.queued === 0 || slot.loading >= slot.queued) return;
    const refused = this.#ports.supply.makeAnywhere({ slot, code, class: near?.class ?? "rare" }, near);
    if (refused === undefined || slot.containers > 0) return;
    const unserved = new Fault(
      fault.name === "InstanceLost" ? "InstanceLost" : "Unavailable",
      `no container is left for the call, and no other could be made: ${refused.reason}`,
    );
    for (const call of slot.takeOut(() => true)) this.#ports.runner.fail(call, unserved);
  }
}
