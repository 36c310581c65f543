/** Bare processes of the runtimes: what a start, and standing idle, costs without any platform. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { type Child, startChild } from "./child.ts";

/** Environment as containers have it: nothing of ours, nothing that slows a start. */
const ENVIRONMENT = { PATH: "/usr/local/bin:/usr/bin:/bin" };

/** Starts `node -e ''` and waits for its end; milliseconds. */
export async function bareNodeRun(): Promise<number> {
  const began = performance.now();
  const child = spawn(process.execPath, ["-e", ""], { stdio: "ignore", env: ENVIRONMENT });
  await once(child, "exit");
  return performance.now() - began;
}

/** A node process that does nothing and stays. */
export function bareNodeIdle(): Promise<Child> {
  const text = "process.stdout.write('idle\\n'); setInterval(() => undefined, 1e9)";
  return startChild({ program: process.execPath, words: ["-e", text], environment: ENVIRONMENT, isReady: (line) => line === "idle" });
}
