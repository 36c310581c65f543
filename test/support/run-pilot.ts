/** `pilot` as a real process, to be sent signals. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { ExecutionContext } from "ava";
import { until } from "./until.ts";

const ENTRY = fileURLToPath(new URL("./pilot-alone.js", import.meta.url));

export interface PilotProcess {
  readonly child: ChildProcess;
  /** What it wrote so far. */
  out(): string;
  err(): string;
  /** Resolves once stderr has this. */
  said(pattern: RegExp): Promise<unknown>;
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
}

export function runPilot(t: ExecutionContext, words: readonly string[], env: NodeJS.ProcessEnv = {}): PilotProcess {
  const child = spawn(process.execPath, [ENTRY, ...words], { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, ...env } });
  t.teardown(() => child.kill("SIGKILL"));
  const heard = { out: "", err: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => (heard.out += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (heard.err += text));
  return {
    child,
    out: () => heard.out,
    err: () => heard.err,
    said: (pattern) => until(() => (pattern.test(heard.err) ? true : undefined), `${String(pattern)} on stderr`, 15_000),
    ended: once(child, "close").then(([code, signal]) => ({ code: code as number | null, signal: signal as NodeJS.Signals | null })),
  };
}
