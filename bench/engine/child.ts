/** A helper process of a benchmark: ready when it says so on stdout, ended with the benchmark. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { goesFirst } from "../../nodes/io/precedence.ts";
import { Fault } from "../../protocol/errors.ts";
import { atEnd } from "./ending.ts";

export interface Child {
  readonly pid: number;
  /** Kills it and what it started; resolves when it is gone. Legal twice. */
  stop(): Promise<void>;
}

export interface ChildOrder {
  readonly program: string;
  readonly words: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly directory?: string;
  /** True for the output line (stdout or stderr) that means: it works now. Undefined: whatever `probe` says. */
  readonly isReady?: (line: string) => boolean;
  /** Asked again and again; true when it works. */
  readonly probe?: () => Promise<boolean>;
}

const READY_MS = 20_000;
const PROBE_MS = 50;

/** Starts it. Rejects with Fault Unavailable and its last line when it ends or is silent for 20 s. */
export async function startChild(order: ChildOrder): Promise<Child> {
  const { program, words, environment, directory, isReady, probe } = order;
  const { PATH = "/usr/bin:/bin" } = process.env;
  const child = spawn(program, words, {
    env: { PATH, ...environment },
    ...(directory !== undefined && { cwd: directory }),
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  // As the platform's own: which of them is served first is not what is compared.
  goesFirst(child.pid);
  const exited = new Promise<void>((resolve) => {
    child.once("exit", () => resolve());
    child.once("error", () => resolve());
  });
  const stop = atEnd(async () => {
    // A session of its own: what it started goes with it.
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) process.kill(-child.pid, "SIGKILL");
    await exited;
  });
  let last = "";
  let over = false;
  const said = new Promise<void>((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      createInterface(stream).on("line", (line) => {
        last = line;
        if (isReady?.(line) === true) resolve();
      });
    }
  });
  const probed = async (): Promise<void> => {
    while (!over && !(await probe?.().catch(() => false))) await new Promise((resolve) => setTimeout(resolve, PROBE_MS));
  };
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<"late">((resolve) => (timer = setTimeout(() => resolve("late"), READY_MS)));
  const how = await Promise.race([
    exited.then(() => "ended" as const),
    late,
    (probe === undefined ? said : probed()).then(() => "ready" as const),
  ]);
  over = true;
  clearTimeout(timer);
  if (how === "ready") return { pid: child.pid ?? 0, stop };
  await stop();
  throw new Fault("Unavailable", `${program} ${how === "late" ? "was not ready in time" : "ended"}: ${last}`);
}
