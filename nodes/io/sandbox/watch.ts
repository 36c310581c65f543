/**
 * The fallback without control groups: limits are kept by looking. One timer for all containers reads the table of
 * processes and kills the container that is over its memory or its number of processes.
 * Weaker than the kernel's word: a burst between two looks passes, and a process that leaves its tree is not counted.
 */
import type { ContainerLimits, ContainerStats } from "../../../actors/instance/sandbox.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { killAll } from "./group-files.ts";
import type { GroupHandle } from "./groups.ts";
import { ownMemory, type ProcessRow, processTable, treeOf } from "./process-table.ts";

const MB = 1024 * 1024;

export class Watch {
  readonly #watched = new Set<WatchedTree>();
  #timer: NodeJS.Timeout | undefined;

  /** Starts to look after the tree below a process. */
  open(root: number): GroupHandle {
    const tree = new WatchedTree(root, () => this.#forget(tree));
    this.#watched.add(tree);
    this.#timer ??= setInterval(() => this.#look(), LIMITS.memoryLook.value);
    return tree;
  }

  #forget(tree: WatchedTree): void {
    this.#watched.delete(tree);
    if (this.#watched.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #look(): void {
    const table = processTable();
    for (const tree of this.#watched) tree.look(table);
  }
}

class WatchedTree implements GroupHandle {
  readonly #root: number;
  readonly #forget: () => void;
  #limits: ContainerLimits | undefined;
  #peak = 0;
  #kills = 0;

  constructor(root: number, forget: () => void) {
    this.#root = root;
    this.#forget = forget;
  }

  look(table: ReadonlyMap<number, ProcessRow>): void {
    if (this.#limits === undefined) return;
    const rows = treeOf(this.#root, table);
    const memory = memoryOf(rows);
    this.#peak = Math.max(this.#peak, memory);
    const tooMuch = memory > this.#limits.memoryMb * MB;
    if (tooMuch) this.#kills += 1;
    if (tooMuch || sum(rows, "threads") > this.#limits.processes) killAll(rows.map((row) => row.pid));
  }

  limit(limits: ContainerLimits): void {
    this.#limits = limits;
  }

  /** Nobody shares out the cpu here. */
  weigh(): void {}

  freeze(): void {
    this.#signal("SIGSTOP");
  }

  thaw(): void {
    this.#signal("SIGCONT");
  }

  stats(): ContainerStats {
    const rows = treeOf(this.#root, processTable());
    const memoryBytes = memoryOf(rows);
    this.#peak = Math.max(this.#peak, memoryBytes);
    return { memoryBytes, memoryPeakBytes: this.#peak, cpuMicroseconds: sum(rows, "cpuMicroseconds"), processes: sum(rows, "threads") };
  }

  oomKills(): number {
    return this.#kills;
  }

  kill(): void {
    // Stopped first, so that none can fork away between the look and the kill.
    this.#signal("SIGSTOP");
    this.#signal("SIGKILL");
  }

  close(): void {
    this.#forget();
  }

  #signal(signal: NodeJS.Signals): void {
    for (const row of treeOf(this.#root, processTable())) {
      try {
        process.kill(row.pid, signal);
      } catch {
        // gone in between
      }
    }
  }
}

function memoryOf(rows: readonly ProcessRow[]): number {
  return rows.reduce((total, row) => total + ownMemory(row), 0);
}

function sum(rows: readonly ProcessRow[], field: "cpuMicroseconds" | "threads"): number {
  return rows.reduce((total, row) => total + row[field], 0);
}
