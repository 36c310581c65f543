/**
 * What the operating system says about processes, for the fallbacks without control groups: who descends from whom,
 * and how much memory they have. Linux reads /proc; elsewhere `ps` is asked.
 */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

export interface ProcessRow {
  readonly pid: number;
  readonly parent: number;
  readonly group: number;
  readonly memoryBytes: number;
  readonly cpuMicroseconds: number;
  readonly threads: number;
}

/** Every process of the machine that can be seen. Takes some milliseconds: never on a call's path. */
export function processTable(): Map<number, ProcessRow> {
  return process.platform === "linux" ? fromProc() : fromPs();
}

/** The processes that descend from `root` or share its process group, `root` first. */
export function treeOf(root: number, table: ReadonlyMap<number, ProcessRow>): ProcessRow[] {
  const children = new Map<number, ProcessRow[]>();
  for (const row of table.values()) {
    const list = children.get(row.parent);
    if (list === undefined) children.set(row.parent, [row]);
    else list.push(row);
  }
  const found = new Map<number, ProcessRow>();
  const walk = (row: ProcessRow): void => {
    if (found.has(row.pid)) return;
    found.set(row.pid, row);
    for (const child of children.get(row.pid) ?? []) walk(child);
  };
  const first = table.get(root);
  if (first !== undefined) walk(first);
  for (const row of table.values()) if (row.group === root) walk(row);
  return [...found.values()];
}

/** Start of a process in clock ticks since boot: with the pid it names a process for good. Undefined when it is dead or unknown here. */
export function startTime(pid: number): string | undefined {
  const fields = statFields(pid);
  return fields?.[0] === "Z" ? undefined : fields?.[19];
}

/** Pid of a process as the innermost pid namespace sees it, or undefined. */
export function innerPid(pid: number): number | undefined {
  try {
    const line = /^NSpid:\s+(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"));
    const last = line?.[1]?.trim().split(/\s+/).at(-1);
    return last === undefined ? undefined : Number(last);
  } catch {
    return undefined;
  }
}

/** Processes whose environment was built for a home below a directory: what is left of plain containers. Linux only. */
export function strays(directory: string): number[] {
  if (process.platform !== "linux") return [];
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && pid !== process.pid)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, "utf8").includes(`HOME=${directory}/`);
      } catch {
        return false;
      }
    });
}

export function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

// Fields of /proc/PID/stat after the name, which may itself hold spaces and brackets: [0] is the state.
function statFields(pid: number): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined;
  }
}

/**
 * The memory that a process has for itself, in bytes: without files and libraries that it only maps, of which every process of a
 * runtime has the same. Where that cannot be told, all that it has in memory.
 */
export function ownMemory(row: ProcessRow): number {
  try {
    const [, resident = 0, shared = 0] = readFileSync(`/proc/${row.pid}/statm`, "latin1").split(" ").map(Number);
    return (resident - shared) * PAGE;
  } catch {
    return row.memoryBytes;
  }
}

const PAGE = 4096;
const TICK_MICROSECONDS = 10_000;

function fromProc(): Map<number, ProcessRow> {
  const table = new Map<number, ProcessRow>();
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const fields = statFields(pid);
    if (fields === undefined || fields[0] === "Z") continue;
    table.set(pid, {
      pid,
      parent: Number(fields[1]),
      group: Number(fields[2]),
      memoryBytes: Number(fields[21]) * PAGE,
      cpuMicroseconds: (Number(fields[11]) + Number(fields[12])) * TICK_MICROSECONDS,
      threads: Number(fields[17]),
    });
  }
  return table;
}

function fromPs(): Map<number, ProcessRow> {
  const table = new Map<number, ProcessRow>();
  let text = "";
  try {
    text = execFileSync("ps", ["-A", "-o", "pid=,ppid=,pgid=,rss="], { encoding: "latin1", env: { PATH: "/bin:/usr/bin" } });
  } catch {
    return table;
  }
  for (const line of text.split("\n")) {
    const [pid, parent, group, kilobytes] = line.trim().split(/\s+/).map(Number);
    if (pid === undefined || parent === undefined || group === undefined || kilobytes === undefined || Number.isNaN(pid)) continue;
    table.set(pid, { pid, parent, group, memoryBytes: kilobytes * 1024, cpuMicroseconds: 0, threads: 1 });
  }
  return table;
}
