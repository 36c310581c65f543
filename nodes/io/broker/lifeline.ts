/** How a child is made to die with us. */
import { execFile } from "node:child_process";
import { LIMITS } from "../../../protocol/limits.ts";

let known: Promise<readonly string[]> | undefined;

/**
 * The words to put before a command so that the kernel kills it when this process dies; none where setpriv is missing
 * (macOS, some small Linux images): there a SIGKILL of this process leaves the child running. Asked once per process.
 */
export function lifelineOf(): Promise<readonly string[]> {
  known ??= new Promise((resolve) => {
    const words = ["setpriv", "--pdeathsig", "KILL", "--"] as const;
    execFile(words[0], [...words.slice(1), "true"], { timeout: LIMITS.brokerProbe.value }, (error) => resolve(error === null ? words : []));
  });
  return known;
}
