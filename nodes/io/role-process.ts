/**
 * A node as a child process: its IPC messages, its output, its end.
 * It stands in a session of its own, so that Ctrl-C in a terminal reaches the supervisor alone.
 */
import { spawn } from "node:child_process";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { type NodeMetrics, nodeMetrics } from "../../protocol/messages/metrics.ts";
import { openLogFile } from "./log-file.ts";
import { goesFirst } from "./precedence.ts";

/** What a node tells its supervisor over IPC. */
export type NodeMessage =
  | { readonly type: "ready" }
  /** Every LIMITS.nodeBeat, from the event loop. */
  | { readonly type: "beat" }
  /** It cannot go on, and a restart would not help. `name`: of the error, where there is more to say than that; then it holds also for one that ran before. */
  | { readonly type: "fatal"; readonly message: string; readonly name?: "Conflict" | undefined }
  /** It was asked to stop, by an operator from afar, and has so long for its work. */
  | { readonly type: "draining"; readonly waitMs: number }
  /** It has stopped so, and is not to be started again. */
  | { readonly type: "over" }
  /** What it counts, in answer to the question of that number. */
  | { readonly type: "metrics"; readonly number: number; readonly metrics: NodeMetrics };

/** What a supervisor says to its node over IPC. */
export type SupervisorMessage =
  /** Finish the work, within that time, and exit. */
  { readonly type: "drain"; readonly waitMs: number } | { readonly type: "metrics"; readonly number: number };

export interface RoleOrder {
  /** The compiled entry file. */
  readonly entry: string;
  /** Added to the few variables that every child needs. */
  readonly environment: Readonly<Record<string, string>>;
  /** True: it goes before the functions that run on this machine, and before whatever else does. */
  readonly goesFirst: boolean;
  readonly logFile: string;
  readonly message: (message: Exclude<NodeMessage, { type: "metrics" }>) => void;
  /** Hears in a sentence when its log cannot be written. */
  readonly trouble: (sentence: string) => void;
  /** Each whole line of its stdout and stderr, cut at LIMITS.logLine. */
  readonly line: (line: string) => void;
}

export interface RoleProcess {
  readonly pid: number;
  /** Asks it to finish its work, within that time, and to exit. */
  drain(waitMs: number): void;
  kill(): void;
  /** What it counts, without the broker's help. Rejects with Fault Unavailable when it does not answer in the time of the contract, or ends. */
  metrics(): Promise<NodeMetrics>;
  /** Resolves when the process is gone and its output is read, with one sentence on how it ended. */
  readonly exited: Promise<string>;
}

/** Variables that are handed on; everything else stays out, secrets of the user's shell first of all. */
const HANDED_ON = [
  "PATH",
  "HOME",
  "USER",
  "LANG",
  "LC_ALL",
  "TZ",
  "TMPDIR",
  "XDG_CACHE_HOME",
  "XDG_RUNTIME_DIR",
  "PILOT_ROOT",
  "NODE_V8_COVERAGE",
];

/** Starts the process. Never throws: what cannot be started has `exited` resolve at once. */
export function startRole(order: RoleOrder): RoleProcess {
  const environment = { ...order.environment };
  for (const name of HANDED_ON) {
    const value = process.env[name];
    if (value !== undefined) environment[name] ??= value;
  }
  const log = openLogFile(order.logFile, LIMITS.nodeLog.value, order.trouble);
  const child = spawn(process.execPath, ["--enable-source-maps", order.entry], {
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    env: environment,
    detached: true,
  });
  if (order.goesFirst) goesFirst(child.pid);
  for (const stream of [child.stdout, child.stderr]) {
    const split = lineSplitter(order.line);
    stream?.on("data", (bytes: Buffer) => {
      log.write(bytes);
      split(bytes.toString("utf8"));
    });
    stream?.on("end", () => split("\n"));
  }
  const asked = new Map<number, (metrics: NodeMetrics | undefined) => void>();
  let questions = 0;
  child.on("message", (message: unknown) => {
    if (!isNodeMessage(message)) return;
    if (message.type === "metrics") asked.get(message.number)?.(message.metrics);
    else order.message(message);
  });
  const exited = new Promise<string>((resolve) => {
    child.once("error", (error) => {
      if (child.pid === undefined) resolve(`it cannot be started: ${error.message}`);
    });
    child.once("exit", (code, signal) => {
      const how = signal === null ? `it exited with code ${code}` : `it was ended by ${signal}`;
      // What it wrote last may still be in the pipes; a grandchild may hold these open after the process itself is gone.
      const timer = setTimeout(() => setImmediate(() => resolve(how)), LIMITS.lastOutput.value);
      child.once("close", () => {
        clearTimeout(timer);
        resolve(how);
      });
    });
  });
  void exited.then(() => {
    for (const answered of asked.values()) answered(undefined);
    child.stdout?.destroy();
    child.stderr?.destroy();
    log.close();
  });
  const send = (message: SupervisorMessage): void => {
    // It may be gone already; its end is told by `exited`.
    if (child.connected) child.send(message, () => undefined);
  };
  return {
    pid: child.pid ?? 0,
    drain: (waitMs) => send({ type: "drain", waitMs }),
    kill: () => void child.kill("SIGKILL"),
    async metrics() {
      const number = ++questions;
      const answer = new Promise<NodeMetrics | undefined>((resolve) => {
        asked.set(number, resolve);
        setTimeout(() => resolve(undefined), nodeMetrics.timeoutMs).unref();
      });
      send({ type: "metrics", number });
      const metrics = await answer.finally(() => asked.delete(number));
      if (metrics === undefined) throw new Fault("Unavailable", "the node tells nothing of itself");
      return metrics;
    },
    exited,
  };
}

function isNodeMessage(message: unknown): message is NodeMessage {
  if (typeof message !== "object" || message === null || !("type" in message)) return false;
  if (message.type === "fatal") return "message" in message && typeof message.message === "string";
  if (message.type === "metrics") return "number" in message && typeof message.number === "number" && "metrics" in message;
  if (message.type === "draining") return "waitMs" in message && typeof message.waitMs === "number";
  return message.type === "ready" || message.type === "beat" || message.type === "over";
}

function lineSplitter(line: (line: string) => void): (text: string) => void {
  let rest = "";
  return (text) => {
    const lines = (rest + text).split("\n");
    rest = (lines.pop() ?? "").slice(0, LIMITS.logLine.value);
    for (const one of lines) if (one !== "") line(one.slice(0, LIMITS.logLine.value));
  };
}
