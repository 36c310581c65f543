/** Small synchronous reads and writes on control group files. They touch kernel memory only and take microseconds. */
import { openSync, readdirSync, readFileSync, readSync, rmdirSync, writeFileSync, writeSync } from "node:fs";

const scratch = Buffer.alloc(4096);

/** Reads an open control file from its start as text (4 KiB at most). */
export function readOpen(fd: number): string {
  return scratch.toString("latin1", 0, readSync(fd, scratch, 0, scratch.length, 0));
}

/** Writes a value into an open control file. */
export function writeOpen(fd: number, value: number | string): void {
  writeSync(fd, `${value}`, 0);
}

export function openControl(path: string, flags: "r" | "r+"): number {
  return openSync(path, flags);
}

/** Writes a value, or does nothing where the kernel lacks the file or refuses it. */
export function tryWrite(path: string, value: number | string): boolean {
  try {
    writeFileSync(path, `${value}`);
    return true;
  } catch {
    return false;
  }
}

/** Pids of a cgroup.procs file; empty when it is gone. */
export function readPids(path: string): number[] {
  try {
    return readFileSync(path, "latin1").split("\n").filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

/** A line `name value` of a control file, 0 when there is none. */
export function readField(text: string, name: string): number {
  for (const line of text.split("\n")) {
    if (line.startsWith(`${name} `)) return Number(line.slice(name.length + 1));
  }
  return 0;
}

export function readText(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}

/** Names of the groups directly below one. */
export function childGroups(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch {
    return [];
  }
}

/** True when the group is gone. */
export function removeGroup(path: string): boolean {
  try {
    rmdirSync(path);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT";
  }
}

/** SIGKILL to each; those that are gone already are ignored. */
export function killAll(pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // gone in between
    }
  }
}
