/** Is the process that wrote this still the one with that pid? */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";

/**
 * When the process started, as a text that differs for two processes with the same pid; undefined when there is none.
 * On Linux from /proc, together with the boot; elsewhere from ps.
 */
export async function startedAt(pid: number): Promise<string | undefined> {
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined;
  if (process.platform === "linux") {
    try {
      const stat = await readFile(`/proc/${pid}/stat`, "utf8");
      const boot = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
      // Fields count from after the name, which may itself contain spaces and brackets.
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return fields[0] === "Z" || fields[0] === "X" ? undefined : `${boot}/${fields[19]}`;
    } catch {
      return undefined;
    }
  }
  return new Promise((resolve) => {
    execFile("ps", ["-o", "lstart=", "-p", String(pid)], (error, stdout) => {
      const started = stdout.trim();
      resolve(error === null && started !== "" ? started : undefined);
    });
  });
}
