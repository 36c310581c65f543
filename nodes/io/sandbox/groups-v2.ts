/**
 * Control groups of version 2: one tree, processes only in its leaves. Written from the kernel's documentation;
 * it has not been run on a machine with version 2 yet (SPECIFICATION.md says so).
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
const NEEDED = ["cpu", "memory", "pids"] as const;
const MB = 1024 * 1024;

/** cpu.weight (1..10000, default 100) for version 1 shares (2..262144, default 1024), as systemd and runc convert. */
function weightOf(shares: number): number {
  return Math.min(10_000, Math.max(1, Math.round(1 + ((shares - 2) * 9_999) / 262_142)));
}

/** True when this process may make groups with cpu, memory and pids below the root of the tree (as root, or delegated). */
export function v2Works(root: string): boolean {
  if (!existsSync(join(MOUNT, "cgroup.controllers"))) return false;
  const available = readText(join(MOUNT, "cgroup.controllers")).trim().split(" ");
  if (!NEEDED.every((controller) => available.includes(controller))) return false;
  try {
    tryWrite(join(MOUNT, "cgroup.subtree_control"), NEEDED.map((controller) => `+${controller}`).join(" "));
    mkdirSync(join(MOUNT, root), { recursive: true });
    tryWrite(join(MOUNT, root, "cgroup.subtree_control"), NEEDED.map((controller) => `+${controller}`).join(" "));
    return NEEDED.every((controller) =>
      readText(join(MOUNT, root, "cgroup.subtree_control"))
        .trim()
        .split(" ")
        .includes(controller),
    );
  } catch {
    return false;
  }
}

export class GroupsV2 implements Groups {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  #path(name: GroupName, file = ""): string {
    return join(MOUNT, this.#root, name.instance, name.container, file);
  }

  create(name: GroupName, instanceMb: number, shares: number): void {
    const instance = join(MOUNT, this.#root, name.instance);
    if (!existsSync(instance)) {
      mkdirSync(instance, { recursive: true });
      tryWrite(join(instance, "memory.max"), instanceMb * MB);
      tryWrite(join(instance, "memory.swap.max"), 0);
      tryWrite(join(instance, "cgroup.subtree_control"), NEEDED.map((controller) => `+${controller}`).join(" "));
    }
    mkdirSync(this.#path(name), { recursive: true });
    tryWrite(this.#path(name, "memory.swap.max"), 0);
    tryWrite(this.#path(name, "memory.oom.group"), 1);
    tryWrite(this.#path(name, "cpu.weight"), weightOf(shares));
    tryWrite(this.#path(name, "pids.max"), LIMITS.processes.value);
  }

  doors(name: GroupName): readonly string[] {
    return [this.#path(name, "cgroup.procs")];
  }

  adopt(name: GroupName, pid: number): void {
    if (!tryWrite(this.#path(name, "cgroup.procs"), pid)) throw new Error(`process ${pid} could not enter its group`);
  }

  members(name: GroupName): number[] {
    return readPids(this.#path(name, "cgroup.procs"));
  }

  kill(name: GroupName): void {
    tryWrite(this.#path(name, "pids.max"), 0);
    if (!tryWrite(this.#path(name, "cgroup.kill"), 1)) killAll(this.members(name));
    tryWrite(this.#path(name, "cgroup.freeze"), 0);
    tryWrite(this.#path(name, "cpu.weight"), weightOf(SHARES.dying));
  }

  oomKills(name: GroupName): number {
    return readField(readText(this.#path(name, "memory.events")), "oom_kill");
  }

  remove(name: GroupName): boolean {
    return removeGroup(this.#path(name));
  }

  removeInstance(instance: string): boolean {
    return removeGroup(join(MOUNT, this.#root, instance));
  }

  list(): { instance: string; containers: string[] }[] {
    const root = join(MOUNT, this.#root);
    return childGroups(root).map((instance) => ({ instance, containers: childGroups(join(root, instance)) }));
  }

  removeRoot(): boolean {
    return removeGroup(join(MOUNT, this.#root));
  }

  open(name: GroupName): GroupHandle {
    return new HandleV2((file) => this.#path(name, file));
  }
}

class HandleV2 implements GroupHandle {
  readonly #path: (file: string) => string;
  readonly #usage: number;
  readonly #events: number;
  readonly #cpu: number;
  readonly #pids: number;
  readonly #max: number;
  readonly #weight: number;
  readonly #pidsMax: number;
  readonly #freeze: number;
  readonly #open: number[] = [];
  /** memory.peak exists from kernel 5.19; below it the highest value seen is kept. */
  readonly #peak: number | undefined;
  #highest = 0;

  constructor(path: (file: string) => string) {
    this.#path = path;
    const open = (file: string, flags: "r" | "r+" = "r"): number => {
      const fd = openControl(path(file), flags);
      this.#open.push(fd);
      return fd;
    };
    try {
      this.#usage = open("memory.current");
      this.#events = open("memory.events");
      this.#cpu = open("cpu.stat");
      this.#pids = open("pids.current");
      this.#max = open("memory.max", "r+");
      this.#weight = open("cpu.weight", "r+");
      this.#pidsMax = open("pids.max", "r+");
      this.#freeze = open("cgroup.freeze", "r+");
      this.#peak = existsSync(path("memory.peak")) ? open("memory.peak") : undefined;
    } catch (error) {
      this.close();
      throw error;
    }
  }

  limit(limits: ContainerLimits): void {
    writeOpen(this.#max, limits.memoryMb * MB);
    writeOpen(this.#pidsMax, limits.processes);
    this.weigh(limits.cpuShares);
  }

  weigh(shares: number): void {
    writeOpen(this.#weight, weightOf(shares));
  }

  freeze(): void {
    writeOpen(this.#freeze, 1);
  }

  thaw(): void {
    writeOpen(this.#freeze, 0);
  }

  stats(): ContainerStats {
    const memoryBytes = Number(readOpen(this.#usage));
    this.#highest = Math.max(this.#highest, memoryBytes);
    return {
      memoryBytes,
      memoryPeakBytes: this.#peak === undefined ? this.#highest : Number(readOpen(this.#peak)),
      cpuMicroseconds: readField(readOpen(this.#cpu), "usage_usec"),
      processes: Number(readOpen(this.#pids)),
    };
  }

  oomKills(): number {
    return readField(readOpen(this.#events), "oom_kill");
  }

  kill(): void {
    if (!tryWrite(this.#path("cgroup.kill"), 1)) {
      writeOpen(this.#pidsMax, 0);
      killAll(readPids(this.#path("cgroup.procs")));
    }
    this.thaw();
    this.weigh(SHARES.dying);
  }

  close(): void {
    for (const fd of this.#open.splice(0)) closeSync(fd);
  }
}
