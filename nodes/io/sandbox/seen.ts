/** What the kernel says of a process that runs inside a box: which walls are really up, whatever was asked for. Linux only. */
import { readFileSync, readlinkSync } from "node:fs";
import { processTable, treeOf } from "./process-table.ts";

/** Namespaces of which every box has its own. */
const NAMESPACES = ["user", "pid", "mnt", "ipc", "uts", "net"] as const;

export interface Seen {
  /** Namespaces that it shares with the host; empty for a closed box. */
  readonly shared: readonly string[];
  readonly seccomp: boolean;
  readonly noNewPrivileges: boolean;
  /** Capabilities that it has or could get again. */
  readonly capabilities: boolean;
  readonly uid: number;
  /** Path of its group below some controller's mount. */
  readonly groups: readonly string[];
}

/** Looks at the innermost process of a box by its first process. Undefined when it cannot be seen. */
export function lookAt(first: number): Seen | undefined {
  if (process.platform !== "linux") return undefined;
  try {
    const pid = treeOf(first, processTable()).at(-1)?.pid ?? first;
    const status = readFileSync(`/proc/${pid}/status`, "latin1");
    const field = (name: string): string => new RegExp(`^${name}:\\s+(\\S+)`, "m").exec(status)?.[1] ?? "";
    return {
      shared: NAMESPACES.filter((name) => readlinkSync(`/proc/${pid}/ns/${name}`) === readlinkSync(`/proc/self/ns/${name}`)),
      seccomp: field("Seccomp") === "2",
      noNewPrivileges: field("NoNewPrivs") === "1",
      capabilities: ["CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"].some((name) => /[^0]/.test(field(name))),
      uid: Number(field("Uid")),
      groups: readFileSync(`/proc/${pid}/cgroup`, "latin1")
        .split("\n")
        .map((line) => line.split(":").slice(2).join(":")),
    };
  } catch {
    return undefined;
  }
}
