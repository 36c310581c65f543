/** What this machine, or the container that this process is in, has. */
import { totalmem } from "node:os";

/** Memory in MB: what a control group leaves to this process, where that is less than the machine has. */
export function machineMemoryMb(): number {
  // 0 or a number beyond all memory: not bounded.
  const bound = process.constrainedMemory();
  return Math.floor((bound > 0 ? Math.min(bound, totalmem()) : totalmem()) / 1024 ** 2);
}
