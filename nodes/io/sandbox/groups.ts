/**
 * Control groups as the sandbox needs them: one group per instance, one below it per container (or zygote).
 * `Groups` makes, fills and removes them and belongs to the spawner, because those calls can block for tens of
 * milliseconds; `GroupHandle` only reads and writes open files and belongs to the agent's event loop.
 */
import type { ContainerLimits, ContainerStats } from "../../../actors/instance/sandbox.ts";

/** Which group: `container` is a container's id or ZYGOTE. */
export interface GroupName {
  readonly instance: string;
  readonly container: string;
}

/** Group of an instance's zygote; no container id may look like it. */
export const ZYGOTE = "_zygote";

/**
 * Cpu shares before a container has an owner. `background`: a stock of spares must not disturb calls that run, but starves
 * on a machine that is full; `waited`: somebody waits for this boot, or it has starved for long enough; `dying`: killed processes
 * need the cpu for their own end, and a group of spares would take seconds for it.
 */
export const SHARES = { background: 2, waited: 512, dying: 1_024 } as const;

export interface Groups {
  /** Makes the instance's group (when it is new) and the container's, with the bounds of a box without an owner. */
  create(name: GroupName, instanceMb: number, shares: number): void;
  /** Files into which a process writes 0 to be in the group from birth. */
  doors(name: GroupName): readonly string[];
  /** Moves a live process into the group; may block for tens of milliseconds. */
  adopt(name: GroupName, pid: number): void;
  /** Pids (of the host) inside the group; empty when it does not exist. */
  members(name: GroupName): number[];
  /** Forbids new processes, kills all there are, thaws, and lets them end at the pace of ordinary processes. Repeat until members() is empty. */
  kill(name: GroupName): void;
  /** How many processes of the group the kernel has killed for memory. */
  oomKills(name: GroupName): number;
  /** False while something is left in it. True also when it does not exist. */
  remove(name: GroupName): boolean;
  removeInstance(instance: string): boolean;
  /** Every group below the root, for the sweep: instances with their containers. */
  list(): { instance: string; containers: string[] }[];
  /** Removes the root group itself; false while something is left. */
  removeRoot(): boolean;
  /** The agent's end of one group; throws when the group does not exist. */
  open(name: GroupName): GroupHandle;
}

export interface GroupHandle {
  limit(limits: ContainerLimits): void;
  /** Sets the cpu shares alone. */
  weigh(shares: number): void;
  freeze(): void;
  thaw(): void;
  stats(): ContainerStats;
  oomKills(): number;
  /** Kills everything in the group once, also when it is frozen, and lets it end at the pace of ordinary processes. */
  kill(): void;
  /** Closes files; the handle is unusable afterwards. */
  close(): void;
}
