/**
 * The agent's end of one spawner after another: starts it, sends orders, hears reports, and its heart.
 *
 * I1  After `lost` no answer of the old spawner arrives any more; open questions were refused before it.
 * I2  A spawner that is silent for LIMITS.spawnerSilence is killed. Only beats that were really asked for count, so
 *     that an agent which slept itself blames nobody.
 */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import type { Order, Report, SpawnerSetup } from "./orders.ts";

type Answer = Extract<Report, { is: "answer" }>;
type Question = Extract<Order, { ask: number }>;
// Omit on a union keeps only common fields; this keeps each member whole.
type WithoutAsk<One> = One extends unknown ? Omit<One, "ask"> : never;

interface Open {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (fault: Fault) => void;
}

export interface SpawnerEvents {
  report(report: Extract<Report, { is: "born" | "gone" }>): void;
  /** It was silent for too long and is killed; `lost` follows. */
  hung(): void;
  /** The spawner died, and every box with it. */
  lost(): void;
}

export class SpawnerLink {
  readonly #setup: SpawnerSetup;
  readonly #events: SpawnerEvents;
  readonly #open = new Map<number, Open>();
  #child: ChildProcess | undefined;
  #asked = 0;
  #closing = false;
  #up = false;
  #heart: NodeJS.Timeout | undefined;
  /** Beats asked for since it said anything. */
  #unanswered = 0;

  constructor(setup: SpawnerSetup, events: SpawnerEvents) {
    this.#setup = setup;
    this.#events = events;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Starts the process; resolves when it listens. Throws BootFailed. */
  async start(): Promise<void> {
    const child = fork(fileURLToPath(new URL("./spawner.js", import.meta.url)), [JSON.stringify(this.#setup)], {
      // Built up, never inherited: only what finds setpriv, dash and bwrap.
      env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
      execArgv: ["--no-warnings", "--max-semi-space-size=1"],
      detached: true,
      stdio: ["ignore", "ignore", "ignore", "ipc"],
    });
    this.#child = child;
    this.#up = false;
    await new Promise<void>((resolve, reject) => {
      const failed = (why: string): void => reject(new Fault("BootFailed", `The spawner could not be started: ${why}.`));
      const timer = setTimeout(() => {
        child.kill("SIGKILL");
        failed("it said nothing");
      }, LIMITS.boot.value);
      child.once("error", (error) => failed(error.message));
      child.once("exit", (code, signal) => {
        clearTimeout(timer);
        failed(`it ended with ${signal ?? code}`);
        this.#exited(child);
      });
      child.on("message", (report: Report) => {
        if (this.#child !== child || child.exitCode !== null || child.signalCode !== null) return;
        this.#unanswered = 0;
        if (report.is === "beat") return;
        if (report.is === "up") {
          clearTimeout(timer);
          this.#up = true;
          this.#listen(child);
          resolve();
        } else if (report.is === "answer") this.#answered(report);
        else this.#events.report(report);
      });
    });
  }

  send(order: Exclude<Order, Question>): void {
    this.#send(order);
  }

  /** Sends an order that is answered. Throws BootFailed when it fails or the spawner dies. */
  ask(question: WithoutAsk<Question>): Promise<Answer> {
    const ask = ++this.#asked;
    return new Promise((resolve, reject) => {
      this.#open.set(ask, { resolve, reject });
      this.#send({ ...question, ask });
    });
  }

  /** Ends the process for good; resolves when it is gone. It removes what is left of its boxes first. */
  async close(): Promise<void> {
    this.#closing = true;
    clearInterval(this.#heart);
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => child.kill("SIGKILL"), LIMITS.drain.value);
      child.once("exit", () => {
        clearTimeout(timer);
        resolve();
      });
      if (child.connected) child.disconnect();
    });
  }

  #listen(child: ChildProcess): void {
    this.#unanswered = 0;
    this.#heart = setInterval(() => {
      if (this.#unanswered * LIMITS.spawnerBeat.value >= LIMITS.spawnerSilence.value) {
        clearInterval(this.#heart);
        this.#events.hung();
        child.kill("SIGKILL");
        return;
      }
      this.#unanswered += 1;
      this.#send({ do: "beat" });
    }, LIMITS.spawnerBeat.value);
    this.#heart.unref();
  }

  #send(order: Order): void {
    const child = this.#child;
    // A failed send means a dying spawner: its exit refuses every open question.
    if (child?.connected === true && child.exitCode === null && child.signalCode === null) child.send(order, () => {});
    else if ("ask" in order) this.#refuse(order.ask);
  }

  #answered(answer: Answer): void {
    const open = this.#open.get(answer.ask);
    this.#open.delete(answer.ask);
    if (answer.error === undefined) open?.resolve(answer);
    else open?.reject(new Fault("BootFailed", `The spawner failed: ${answer.error}.`));
  }

  #refuse(ask: number): void {
    const open = this.#open.get(ask);
    this.#open.delete(ask);
    open?.reject(new Fault("BootFailed", "The spawner was lost."));
  }

  #exited(child: ChildProcess): void {
    if (this.#child !== child) return;
    clearInterval(this.#heart);
    for (const ask of [...this.#open.keys()]) this.#refuse(ask);
    if (this.#up && !this.#closing) this.#events.lost();
  }
}
