/** One instance as the host sees it: its machine, its containers, and what is promised of its memory. */
import type { Actor } from "xstate";
import type { RuntimeName } from "../../protocol/runtimes.ts";
import type { FunctionClass } from "../../protocol/vocabulary.ts";
import type { InstanceState, instanceMachine } from "../instance/machine.ts";
import type { Container } from "./container.ts";
import type { Provision } from "./provision.ts";

export class Instance {
  readonly id: string;
  readonly runtime: RuntimeName;
  readonly memoryMb: number;
  readonly network: boolean;
  readonly actor: Actor<typeof instanceMachine>;
  /** The manager whose capacity it is: that of the class of its first function. */
  class: FunctionClass | undefined = undefined;
  runtimeVersion: string;
  readonly containers = new Set<Container>();
  readonly spares: Container[] = [];
  /** Boots that are under way. */
  booting = 0;
  /** Containers that wait for a boot, in order. */
  readonly waiting: Provision[] = [];
  /** Code keys whose code is here. */
  readonly code = new Set<string>();
  /** Amounts of its containers together, those that wait for a boot included. */
  usedMb = 0;
  /** Containers that belong to a slot, those that wait for a boot included. */
  assigned = 0;
  /** Failed boots in a row. */
  failures = 0;

  constructor(of: { id: string; runtime: RuntimeName; memoryMb: number; network: boolean; actor: Actor<typeof instanceMachine> }) {
    this.id = of.id;
    this.runtime = of.runtime;
    this.memoryMb = of.memoryMb;
    this.network = of.network;
    this.actor = of.actor;
    this.runtimeVersion = of.runtime;
  }

  get state(): InstanceState {
    return this.actor.getSnapshot().value as InstanceState;
  }

  get account(): string | null {
    return this.actor.getSnapshot().context.account;
  }

  get freeMb(): number {
    return this.memoryMb - this.usedMb;
  }
}
