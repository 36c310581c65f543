/**
 * Closes what a careless parent left open: descriptors without close-on-exec travel from the agent's parent through the
 * agent and its spawner into every box. Node's own are all close-on-exec.
 */
import { closeSync, readdirSync, readFileSync } from "node:fs";

const CLOSE_ON_EXEC = 0o2000000;

/** Closes every inherited descriptor from `first` on. Linux only; elsewhere there is no way to ask. */
export function closeInherited(first: number): void {
  if (process.platform !== "linux") return;
  for (const fd of readdirSync("/proc/self/fd").map(Number)) {
    if (fd < first) continue;
    try {
      const flags = /^flags:\s+(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "latin1"))?.[1];
      if (flags !== undefined && (Number.parseInt(flags, 8) & CLOSE_ON_EXEC) === 0) closeSync(fd);
    } catch {
      // the descriptor of this very listing
    }
  }
}
