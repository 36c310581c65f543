/** Where a container for a slot comes from: the instance that was named, a warm one, a new one, or the best of these. */
import type { Fault } from "../../protocol/errors.ts";
import type { CallHead, Refusal } from "../../protocol/messages/call.ts";
import type { RuntimeName } from "../../protocol/runtimes.ts";
import type { ColdCause, FunctionClass, Rung } from "../../protocol/vocabulary.ts";
import type { Clock } from "../kit/ports.ts";
import type { Container } from "./container.ts";
import type { Counters } from "./counters.ts";
import type { CreateTimes } from "./create-times.ts";
import { makeRoom, type RoomWanted } from "./eviction.ts";
import type { Instance } from "./instance.ts";
import type { Instances } from "./instances.ts";
import type { CodeOf } from "./provision.ts";
import type { Slot } from "./slot.ts";

/** What is wanted of a new container. */
export interface Wanted {
  readonly slot: Slot;
  readonly code: CodeOf;
  readonly rung: Rung;
  readonly instance?: string | undefined;
  readonly instanceMb?: number | undefined;
  readonly coldCause?: ColdCause | undefined;
  readonly class: FunctionClass;
  /** For example "node@20". */
  readonly runtimeWanted?: string | undefined;
  /** True: it is readied before any call. */
  readonly preload?: boolean;
  readonly ready?: (container: Container) => void;
  readonly failed?: (fault: Fault) => void;
}

export type Refused = { readonly refused: Refusal["refused"]; readonly reason: string };

const no = (refused: Refusal["refused"], reason: string): Refused => ({ refused, reason });

export interface SupplyPorts {
  readonly clock: Clock;
  readonly instances: Instances;
  readonly times: CreateTimes;
  readonly counters: Counters;
  readonly instanceMb: number;
}

export class Supply {
  readonly #ports: SupplyPorts;

  constructor(ports: SupplyPorts) {
    this.#ports = ports;
  }

  /** Starts making a container, or says why not; then nothing has changed. */
  make(wanted: Wanted): Refused | undefined {
    const { instances } = this.#ports;
    const offered = instances.runtimes[wanted.code.runtime];
    if (offered === undefined) return no("runtime", `the runtime ${wanted.code.runtime} is not offered here`);
    if (wanted.runtimeWanted !== undefined && !isRuntime(offered, wanted.runtimeWanted)) {
      return no("runtime", `${wanted.runtimeWanted} was asked for, ${offered} is offered here`);
    }
    switch (wanted.rung) {
      case "cached":
      case "own":
        return this.#named(wanted);
      case "warm":
        return this.#warm(wanted);
      case "cold":
        return this.#cold(wanted);
      case "hot":
        return no("malformed", "hot makes no container");
    }
  }

  /** Makes a container on the cheapest rung there is: for calls that were taken already. */
  makeAnywhere(wanted: Omit<Wanted, "rung" | "instance">, near: Instance | undefined): Refused | undefined {
    const { slot, code } = wanted;
    const own = near && this.#hasRoom(near, slot, code) ? near : this.#findOwn(slot, code);
    if (own) {
      const rung = own.code.has(slot.codeKey) ? "cached" : "own";
      const refused = this.make({ ...wanted, rung, instance: own.id });
      if (!refused) return undefined;
    }
    return this.make({ ...wanted, rung: "warm" }) && this.make({ ...wanted, rung: "cold" });
  }

  /** What the next container of the slot would take here, in ms. */
  createMs(slot: Slot): number {
    const { times, instances } = this.#ports;
    const { code } = slot;
    if (code === undefined) return times.ms.cold;
    const own = this.#findOwn(slot, code);
    if (own && own.spares.length > 0) return times.ms.cached;
    if (!code.network && instances.findWarm(code.runtime, slot.memoryMb)) return times.ms.warm;
    return times.ms.cold;
  }

  #named(wanted: Wanted): Refused | undefined {
    const { slot, code } = wanted;
    const instance = wanted.instance === undefined ? this.#findOwn(slot, code) : this.#ports.instances.find(wanted.instance);
    if (!instance) return no("no-instance", "there is no such instance");
    if (instance.account !== slot.account) return no("no-room", "the instance is not the account's");
    // Held, since the last container that makes room would otherwise take its instance with it.
    const release = this.#ports.instances.hold(instance);
    const refused = this.#into(instance, wanted);
    release();
    return refused;
  }

  #into(instance: Instance, wanted: Wanted): Refused | undefined {
    const { slot, code } = wanted;
    if (instance.runtime === code.runtime && instance.network === code.network)
      this.#evict({ slot, instance, boots: instance.spares.length === 0 });
    if (!this.#hasRoom(instance, slot, code)) {
      return no(
        "no-room",
        `the instance is ${instance.state} with ${instance.freeMb} MB free, for ${code.runtime}${instance.network ? " with network" : ""}`,
      );
    }
    if (!this.#ports.instances.hasCapacity(slot.memoryMb, instance.spares.length === 0))
      return no("no-capacity", "the host's memory is given away");
    this.#provision(instance, wanted);
    return undefined;
  }

  #warm(wanted: Wanted): Refused | undefined {
    const { slot, code } = wanted;
    if (code.network) return no("no-instance", "no warm instance has a network");
    const instance = this.#ports.instances.findWarm(code.runtime, Math.max(slot.memoryMb, wanted.instanceMb ?? 0));
    if (!instance) return no("no-instance", "no warm instance of that runtime and size is left");
    this.#evict({ slot, boots: instance.spares.length === 0 });
    if (!this.#ports.instances.hasCapacity(slot.memoryMb, instance.spares.length === 0))
      return no("no-capacity", "the host's memory is given away");
    this.#ports.instances.allocate(instance, slot.account, wanted.class);
    this.#provision(instance, wanted);
    this.#ports.instances.warmLeft();
    return undefined;
  }

  #cold(wanted: Wanted): Refused | undefined {
    const { slot, code } = wanted;
    const { instances } = this.#ports;
    this.#evict({ slot, boots: true });
    if (!instances.hasCapacity(slot.memoryMb, true)) return no("no-capacity", "the host's memory is given away");
    const memoryMb = Math.max(slot.memoryMb, wanted.instanceMb ?? this.#ports.instanceMb);
    const instance = instances.boot(code.runtime, memoryMb, code.network, slot.account);
    instance.class = wanted.class;
    this.#provision(instance, wanted);
    return undefined;
  }

  #evict(wanted: RoomWanted): void {
    const evicted = makeRoom(this.#ports.instances, wanted);
    if (evicted > 0) this.#ports.counters.add("containers.evicted", evicted);
  }

  #provision(instance: Instance, wanted: Wanted): void {
    wanted.slot.code = wanted.code;
    this.#ports.instances.provision(instance, {
      slot: wanted.slot,
      code: wanted.code,
      rung: wanted.rung,
      told: wanted.preload === true ? "hot" : wanted.rung,
      coldCause: wanted.preload === true ? undefined : wanted.coldCause,
      askedAt: this.#ports.clock.now(),
      boots: false,
      attempts: 0,
      ready: wanted.ready,
      failed: wanted.failed,
    });
  }

  /** The fullest with room, so that others empty. */
  #findOwn(slot: Slot, code: CodeOf): Instance | undefined {
    let best: Instance | undefined;
    for (const instance of this.#ports.instances.all()) {
      if (instance.account !== slot.account || !this.#hasRoom(instance, slot, code)) continue;
      if (best === undefined || instance.freeMb < best.freeMb) best = instance;
    }
    return best;
  }

  #hasRoom(instance: Instance, slot: Slot, code: CodeOf): boolean {
    const { state } = instance;
    return (
      (state === "active" || (state === "booting" && instance.account !== null)) &&
      instance.runtime === code.runtime &&
      instance.network === code.network &&
      instance.freeMb >= slot.memoryMb
    );
  }
}

/** "node@20" asks for "node 20" and "node 20.20.2", not for "node 2" or "node 200"; a bare name for any version. */
function isRuntime(offered: string, wanted: string): boolean {
  const [name = "", version = ""] = wanted.split("@", 2);
  const [offeredName, offeredVersion = ""] = offered.split(" ", 2) as [RuntimeName, string?];
  if (name !== offeredName) return false;
  return version === "" || offeredVersion === version || offeredVersion.startsWith(`${version}.`);
}

/** The wish of a head that orders a container. */
export function wantedBy(head: CallHead, slot: Slot, code: CodeOf): Wanted | undefined {
  if (head.place === undefined) return undefined;
  const { rung, instance, instanceMb, coldCause } = head.place;
  return { slot, code, rung, instance, instanceMb, coldCause, class: head.class, runtimeWanted: head.runtimeWanted };
}
