/** Facts without which a figure means nothing: the machine, the commit, the versions, and how busy it was otherwise. */
import { execFile } from "node:child_process";
import { availableParallelism, cpus, loadavg, release, totalmem } from "node:os";
import { promisify } from "node:util";

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly node: string;
  /** Short id of the commit; with `+` when the checkout differs from it otherwise than by its record of figures; undefined outside a checkout. */
  readonly commit: string | undefined;
  /** One-minute load average before the first round: above the number of cores something else was running. */
  readonly loadBefore: number;
}

/** Looks at this machine and the checkout in `root`. Never rejects. */
export async function machineFacts(root: string): Promise<Machine> {
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 1024 ** 3),
    kernel: release(),
    node: process.versions.node,
    commit: await commitOf(root),
    loadBefore: Math.round((loadavg()[0] ?? 0) * 100) / 100,
  };
}

async function commitOf(root: string): Promise<string | undefined> {
  const git = async (...words: string[]): Promise<string> => (await promisify(execFile)("git", words, { cwd: root })).stdout.trim();
  try {
    const [commit, changed] = await Promise.all([
      git("rev-parse", "--short", "HEAD"),
      git("status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)docs/benchmarks.md"),
    ]);
    return changed === "" ? commit : `${commit}+`;
  } catch {
    return undefined;
  }
}
