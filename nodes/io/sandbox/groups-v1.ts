/**
 * Control groups of version 1, below each of five controllers.
 *
 * I1  Memory, pids and freezer are trees: root, instance, container; a bound of the instance holds for all below it.
 * I2  Cpu groups stand side by side at the top: in a tree a booting box would weigh as much as its whole branch, and
 *     two shares would mean nothing against the agent and the broker.
 */
import { closeSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { ContainerLimits, ContainerStats } from "../../../actors/instance/sandbox.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import {
  childGroups,
  killAll,
  openControl,
  readField,
  readOpen,
  readPids,
  readText,
  removeGroup,
  tryWrite,
  writeOpen,
} from "./group-files.ts";
import { type GroupHandle, type GroupName, type Groups, SHARES } from "./groups.ts";

const MOUNT = "/sys/fs/cgroup";
const TREES = ["memory", "pids", "freezer"] as const;
const FLAT = ["cpu", "cpuacct"] as const;
const CONTROLLERS = [...TREES, ...FLAT] as const;
type Controller = (typeof CONTROLLERS)[number];
const MB = 1024 * 1024;

/** True when all five controllers are mounted and groups can be made in them. */
export function v1Works(root: string): boolean {
  if (!CONTROLLERS.every((controller) => existsSync(join(MOUNT, controller, "cgroup.procs")))) return false;
  try {
    for (const path of trees(root)) mkdirSync(path, { recursive: true });
    return true;
  } catch {
    return false;
  }
}

function trees(...parts: string[]): string[] {
  return TREES.map((controller) => join(MOUNT, controller, ...parts));
}

export class GroupsV1 implements Groups {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  #path(controller: Controller, name: GroupName): string {
    if (controller === "cpu" || controller === "cpuacct")
      return join(MOUNT, controller, `${this.#root}.${name.instance}.${name.container}`);
    return join(MOUNT, controller, this.#root, name.instance, name.container);
  }

  create(name: GroupName, instanceMb: number, shares: number): void {
    const instance = join(MOUNT, "memory", this.#root, name.instance);
    if (!existsSync(instance)) {
      for (const path of trees(this.#root, name.instance)) mkdirSync(path, { recursive: true });
      tryWrite(join(instance, "memory.limit_in_bytes"), instanceMb * MB);
      tryWrite(join(instance, "memory.memsw.limit_in_bytes"), instanceMb * MB);
      tryWrite(join(instance, "memory.swappiness"), 0);
    }
    for (const controller of CONTROLLERS) mkdirSync(this.#path(controller, name), { recursive: true });
    tryWrite(join(this.#path("memory", name), "memory.swappiness"), 0);
    tryWrite(join(this.#path("cpu", name), "cpu.shares"), shares);
    tryWrite(join(this.#path("pids", name), "pids.max"), LIMITS.processes.value);
  }

  doors(name: GroupName): readonly string[] {
    return CONTROLLERS.map((controller) => join(this.#path(controller, name), "cgroup.procs"));
  }

  adopt(name: GroupName, pid: number): void {
    for (const door of this.doors(name)) {
      if (!tryWrite(door, pid)) throw new Error(`process ${pid} could not enter ${door}`);
    }
  }

  members(name: GroupName): number[] {
    return readPids(join(this.#path("pids", name), "cgroup.procs"));
  }

  kill(name: GroupName): void {
    tryWrite(join(this.#path("pids", name), "pids.max"), 0);
    killAll(this.members(name));
    tryWrite(join(this.#path("freezer", name), "freezer.state"), "THAWED");
    tryWrite(join(this.#path("cpu", name), "cpu.shares"), SHARES.dying);
  }

  oomKills(name: GroupName): number {
    return readField(readText(join(this.#path("memory", name), "memory.oom_control")), "oom_kill");
  }

  remove(name: GroupName): boolean {
    return CONTROLLERS.every((controller) => removeGroup(this.#path(controller, name)));
  }

  removeInstance(instance: string): boolean {
    return trees(this.#root, instance).every(removeGroup);
  }

  list(): { instance: string; containers: string[] }[] {
    const instances = new Map<string, Set<string>>();
    for (const tree of trees(this.#root)) {
      for (const instance of childGroups(tree)) {
        const containers = instances.get(instance) ?? new Set();
        for (const container of childGroups(join(tree, instance))) containers.add(container);
        instances.set(instance, containers);
      }
    }
    for (const controller of FLAT) {
      for (const name of childGroups(join(MOUNT, controller))) {
        if (!name.startsWith(`${this.#root}.`)) continue;
        const [instance = "", container = ""] = name.slice(this.#root.length + 1).split(".");
        instances.set(instance, (instances.get(instance) ?? new Set()).add(container));
      }
    }
    return [...instances].map(([instance, containers]) => ({ instance, containers: [...containers] }));
  }

  removeRoot(): boolean {
    return trees(this.#root).every(removeGroup);
  }

  open(name: GroupName): GroupHandle {
    return new HandleV1((controller) => this.#path(controller, name));
  }
}

class HandleV1 implements GroupHandle {
  readonly #memoryLimit: number;
  readonly #memoryUsage: number;
  readonly #memoryPeak: number;
  readonly #oom: number;
  readonly #shares: number;
  readonly #cpu: number;
  readonly #pidsMax: number;
  readonly #pids: number;
  readonly #procs: number;
  readonly #freezer: number;
  readonly #swapLimit: string;
  readonly #open: number[] = [];

  constructor(path: (controller: Controller) => string) {
    const open = (controller: Controller, file: string, flags: "r" | "r+" = "r"): number => {
      const fd = openControl(join(path(controller), file), flags);
      this.#open.push(fd);
      return fd;
    };
    try {
      this.#memoryLimit = open("memory", "memory.limit_in_bytes", "r+");
      this.#memoryUsage = open("memory", "memory.usage_in_bytes");
      this.#memoryPeak = open("memory", "memory.max_usage_in_bytes");
      this.#oom = open("memory", "memory.oom_control");
      this.#shares = open("cpu", "cpu.shares", "r+");
      this.#cpu = open("cpuacct", "cpuacct.usage");
      this.#pidsMax = open("pids", "pids.max", "r+");
      this.#pids = open("pids", "pids.current");
      this.#procs = open("pids", "cgroup.procs");
      this.#freezer = open("freezer", "freezer.state", "r+");
      this.#swapLimit = join(path("memory"), "memory.memsw.limit_in_bytes");
    } catch (error) {
      this.close();
      throw error;
    }
  }

  limit(limits: ContainerLimits): void {
    const bytes = limits.memoryMb * MB;
    // The limit with swap may never be below the plain one: which goes first depends on the direction.
    if (!this.#tryLimit(bytes)) {
      tryWrite(this.#swapLimit, bytes);
      this.#tryLimit(bytes);
    }
    tryWrite(this.#swapLimit, bytes);
    writeOpen(this.#pidsMax, limits.processes);
    this.weigh(limits.cpuShares);
  }

  weigh(shares: number): void {
    writeOpen(this.#shares, Math.max(2, Math.round(shares)));
  }

  #tryLimit(bytes: number): boolean {
    try {
      writeOpen(this.#memoryLimit, bytes);
      return true;
    } catch {
      return false;
    }
  }

  freeze(): void {
    writeOpen(this.#freezer, "FROZEN");
  }

  thaw(): void {
    writeOpen(this.#freezer, "THAWED");
  }

  stats(): ContainerStats {
    return {
      memoryBytes: Number(readOpen(this.#memoryUsage)),
      memoryPeakBytes: Number(readOpen(this.#memoryPeak)),
      cpuMicroseconds: Math.round(Number(readOpen(this.#cpu)) / 1000),
      processes: Number(readOpen(this.#pids)),
    };
  }

  oomKills(): number {
    return readField(readOpen(this.#oom), "oom_kill");
  }

  kill(): void {
    writeOpen(this.#pidsMax, 0);
    killAll(readOpen(this.#procs).split("\n").filter(Boolean).map(Number));
    // A frozen process of version 1 dies only once it is thawed.
    this.thaw();
    this.weigh(SHARES.dying);
  }

  close(): void {
    for (const fd of this.#open.splice(0)) closeSync(fd);
  }
}
