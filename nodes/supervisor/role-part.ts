/**
 * A node (frontend, scheduler, host) as a part: ready when it says so, killed when its event loop falls silent.
 * Silence is counted only while this process itself was awake.
 */
import type { Clock } from "../../actors/kit/ports.ts";
import { beginSilence, heard, tick } from "../../actors/kit/silence.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { type NodeMessage, type RoleProcess, startRole } from "../io/role-process.ts";
import { type Ending, Hopeless, type Part } from "./part.ts";
import { plainLine } from "./speak.ts";

export interface RolePart {
  readonly node: string;
  /** Nodes of one role, which stop together. */
  readonly stage: string;
  readonly entry: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly logFile: string;
  readonly clock: Pick<Clock, "now" | "every" | "after">;
  /** Shows a sentence to the person at the terminal. */
  readonly show: (sentence: string) => void;
  /** True: lines below a warning are shown too. */
  readonly verbose: boolean;
}

/** Last lines kept for the sentence on how a node ended: a crash prints its message above about ten lines of stack. */
const TAIL = 12;

/** The part; nothing is started yet. */
export function rolePart(order: RolePart): Part {
  return { name: order.node, stage: order.stage, start: (signal) => startNode(order, signal) };
}

async function startNode(order: RolePart, signal: AbortSignal) {
  const { clock } = order;
  const tail: string[] = [];
  let fatal: Extract<NodeMessage, { type: "fatal" }> | undefined;
  let over = false;
  let promisedUntil = Number.NEGATIVE_INFINITY;
  let silenced = false;
  let silence = beginSilence(clock.now());
  let ready = (): void => undefined;
  const isReady = new Promise<"ready">((resolve) => (ready = () => resolve("ready")));
  const child: RoleProcess = startRole({
    entry: order.entry,
    environment: order.environment,
    // A gateway is a caller: before other callers it would only take its requests one by one.
    goesFirst: order.stage !== "gateway",
    logFile: order.logFile,
    trouble: order.show,
    message(message) {
      silence = heard(silence);
      if (message.type === "ready") ready();
      if (message.type === "fatal") fatal = message;
      if (message.type === "over") over = true;
      if (message.type === "draining") promisedUntil = clock.now() + message.waitMs;
    },
    line(line) {
      const sentence = plainLine(order.node, line);
      if (order.verbose) order.show(plainLine(order.node, line, 0) ?? "");
      if (sentence === undefined) return;
      if (!order.verbose) order.show(sentence);
      tail.push(sentence);
      if (tail.length > TAIL) tail.shift();
    },
  });
  const exited = child.exited.then((how) => {
    const why = fatal?.message ?? (silenced ? `its event loop was silent for ${LIMITS.watchdogSilence.value / 1000} s` : how);
    const said = fatal === undefined && tail.length > 0 ? `; its last lines: ${tail.join(" | ")}` : "";
    return `${why}${said}`;
  });

  const late = clock.after(LIMITS.nodeStart.value, () => child.kill());
  const giveUp = (): void => child.kill();
  signal.addEventListener("abort", giveUp, { once: true });
  if (signal.aborted) giveUp();
  const first = await Promise.race([isReady, exited]);
  late.cancel();
  signal.removeEventListener("abort", giveUp);
  if (first !== "ready") {
    throw fatal === undefined ? new Fault("Unavailable", first) : hopeless(order.node, fatal);
  }

  silence = beginSilence(clock.now());
  const watch = clock.every(LIMITS.nodeBeat.value, () => {
    silence = tick(silence, clock.now(), LIMITS.nodeBeat.value);
    if (silence.silentMs < LIMITS.watchdogSilence.value || silenced) return;
    silenced = true;
    child.kill();
  });
  void exited.then(() => watch.cancel());
  const ending = (): Ending => {
    if (over) return { kind: "over" };
    return fatal?.name === undefined ? { kind: "again" } : { kind: "hopeless", fault: hopeless(order.node, fatal) };
  };
  return {
    pid: child.pid,
    exited,
    ending,
    drain: (waitMs: number) => child.drain(waitMs),
    promisedMs: () => Math.max(0, promisedUntil - clock.now()),
    kill: () => child.kill(),
    metrics: () => child.metrics(),
  };
}

function hopeless(node: string, { name, message }: Extract<NodeMessage, { type: "fatal" }>): Hopeless {
  const next = name === "Conflict" ? { next: "Give these nodes another name with --name, or stop the other one." } : undefined;
  return new Hopeless(name ?? "Unavailable", `${node}: ${message}`, next);
}
