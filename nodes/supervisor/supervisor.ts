/**
 * Keeps the parts of one local form alive.
 *
 * V1  Parts start in the order given, each when the one before is ready; they stop in reverse, those of one stage together.
 * V2  A part that ends is started again after a growing wait; one that ends too often stops everything, with the reason.
 * V4  A part that was stopped on request from afar stays away, and the others go on; when all have, everything is over.
 * V3  After `stop` or a failure no process of any part is left: what has not ended when its time is over is killed.
 * V5  A part that was promised more time from afar has it, and the others lose nothing by that.
 */

import type { Clock } from "../../actors/kit/ports.ts";
import { afterEnd, type RestartHistory, type RestartPolicy } from "../../actors/kit/restart.ts";
import { Fault } from "../../protocol/errors.ts";
import type { NodeMetrics } from "../../protocol/messages/metrics.ts";
import { Hopeless, type Part, type RunningPart } from "./part.ts";

export interface SupervisorOptions {
  readonly policy: RestartPolicy;
  readonly clock: Pick<Clock, "now" | "after">;
  /** How long work may go on, for all stages together, in ms. */
  readonly drainMs: number;
  /** What each stage may take beyond that to end and to say so; then it is killed. */
  readonly drainLeastMs: number;
  /** One plain sentence about something that happened. */
  readonly say: (sentence: string) => void;
}

export interface Supervision {
  /** Resolves when all parts were ready once; rejects with the Fault that made everything stop. */
  readonly ready: Promise<void>;
  /** Resolves after `stop`; rejects after a failure. Either way all processes are gone by then. */
  readonly done: Promise<void>;
  /** Orderly stop. Legal at any time, twice too. */
  stop(): Promise<void>;
  /** Kills everything at once, also in the middle of `stop`. */
  kill(): void;
  /** Process id of a part that runs now. */
  pidOf(name: string): number | undefined;
  /** What a node counts. Rejects with Fault Unavailable when it does not run, or does not answer. */
  metricsOf(name: string): Promise<NodeMetrics>;
}

interface Kept {
  readonly part: Part;
  running: RunningPart | undefined;
  history: RestartHistory;
  wasReady: boolean;
  /** It was stopped on request, and stays away. */
  isOver: boolean;
  /** What it is to do; a part that is only getting ready hears of it as soon as it is. */
  wish: "run" | "kill" | { readonly drainMs: number };
  /** Until it has ended for good. */
  keeping: Promise<void>;
}

function obey({ wish, running }: Kept): void {
  if (typeof wish === "object") running?.drain(wish.drainMs);
  if (wish === "kill") running?.kill();
}

/** Neighbours of one stage, in the order of their start. */
function stagesOf(kept: readonly Kept[]): Kept[][] {
  const stages: Kept[][] = [];
  for (const one of kept) {
    const last = stages.at(-1);
    if (one.part.stage !== undefined && last?.[0]?.part.stage === one.part.stage) last.push(one);
    else stages.push([one]);
  }
  return stages;
}

/** Starts the parts. Returns at once. */
export function supervise(parts: readonly Part[], options: SupervisorOptions): Supervision {
  const { clock, say } = options;
  const stopping = new AbortController();
  let failure: Fault | undefined;
  const kept: Kept[] = parts.map((part) => ({
    part,
    running: undefined,
    history: [],
    wasReady: false,
    isOver: false,
    wish: "run",
    keeping: Promise.resolve(),
  }));

  const fail = (fault: Fault): void => {
    failure ??= fault;
    stopping.abort();
  };
  const pause = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      const stop = (): void => {
        timer.cancel();
        resolve();
      };
      const timer = clock.after(ms, () => {
        stopping.signal.removeEventListener("abort", stop);
        resolve();
      });
      stopping.signal.addEventListener("abort", stop, { once: true });
    });

  const wish = (one: Kept, what: Kept["wish"]): void => {
    one.wish = what;
    obey(one);
  };

  /** One life of a part, from start to end; the sentence on how it ended, or undefined when it stays away. */
  async function live(one: Kept, nowReady: () => void): Promise<string | undefined> {
    try {
      one.running = await one.part.start(stopping.signal);
    } catch (error) {
      if (error instanceof Hopeless && !one.wasReady) fail(error);
      return Fault.from(error).message;
    }
    one.wasReady = true;
    obey(one);
    nowReady();
    const how = await one.running.exited;
    const ending = one.running.ending?.();
    one.running = undefined;
    if (ending?.kind === "hopeless") fail(ending.fault);
    if (ending?.kind !== "over") return how;
    one.isOver = true;
    say(`${one.part.name} was stopped on request and is not started again`);
    if (kept.every(({ isOver }) => isOver)) stopping.abort();
    return undefined;
  }

  async function keep(one: Kept, nowReady: () => void): Promise<void> {
    while (!stopping.signal.aborted) {
      const how = await live(one, nowReady);
      if (stopping.signal.aborted || how === undefined) return;
      const verdict = afterEnd(options.policy, one.history, clock.now());
      if (verdict.kind === "give-up") {
        return fail(
          new Fault(
            "Unavailable",
            `${one.part.name} ended ${verdict.count} times in ${options.policy.windowMs / 1000} s; the last time ${how}`,
          ),
        );
      }
      one.history = verdict.history;
      say(`${one.part.name} ended (${how}); it is started again`);
      await pause(verdict.delayMs);
    }
  }

  /** Ends one part in order, with so long for its work, or as long as was promised; gives how long it was. */
  async function end(one: Kept, waitMs: number): Promise<number> {
    const promisedMs = one.running?.promisedMs?.() ?? 0;
    const drainMs = Math.max(waitMs, promisedMs);
    if (promisedMs > waitMs) say(`${one.part.name} was told to drain, and has ${Math.ceil(promisedMs / 1_000)} s left for that`);
    const killer = clock.after(drainMs + options.drainLeastMs, () => wish(one, "kill"));
    if (one.wish === "run") wish(one, { drainMs });
    await one.keeping;
    killer.cancel();
    return drainMs;
  }

  const whenStopping = new Promise<void>((resolve) => stopping.signal.addEventListener("abort", () => resolve(), { once: true }));
  const started = (async () => {
    for (const one of kept) {
      await Promise.race([
        whenStopping,
        new Promise<void>((nowReady) => {
          one.keeping = keep(one, nowReady);
        }),
      ]);
      if (stopping.signal.aborted) return;
    }
  })();

  const done = (async () => {
    await whenStopping;
    await started;
    let left = options.drainMs;
    for (const stage of stagesOf(kept).reverse()) {
      const began = clock.now();
      const ends = stage.map((one) => end(one, left));
      const longest = Math.max(...(await Promise.all(ends)));
      // What somebody was promised is no part of the budget.
      if (longest <= left) left = Math.max(0, left - (clock.now() - began));
    }
    if (failure !== undefined) throw failure;
  })();
  done.catch(() => undefined);

  const runningPart = (name: string) => kept.find((one) => one.part.name === name)?.running;
  return {
    ready: started.then(async () => {
      if (stopping.signal.aborted) {
        await done;
        throw new Fault("Cancelled", "it was stopped before it was ready");
      }
    }),
    done,
    async stop() {
      stopping.abort();
      await done.catch(() => undefined);
    },
    kill() {
      stopping.abort();
      for (const one of kept) wish(one, "kill");
    },
    pidOf: (name) => runningPart(name)?.pid,
    async metricsOf(name) {
      const metrics = await runningPart(name)?.metrics?.();
      if (metrics === undefined) throw new Fault("Unavailable", `${name} does not run`);
      return metrics;
    },
  };
}
