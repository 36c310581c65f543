/**
 * The floor: what a plain NATS request costs on the same server with the same client and the same bytes. A queue
 * subscriber with a callback, in a process of its own, sends back what it gets.
 */
import { fileURLToPath } from "node:url";
import { type Child, startChild } from "./child.ts";
import type { CountedCaller } from "./counted.ts";
import type { Call } from "./load.ts";

export const FLOOR_SUBJECT = "bench.floor";
/** What the subscriber says when it listens. */
export const FLOOR_READY = "listening";

export interface Floor {
  readonly call: Call;
  readonly pid: number;
  stop(): Promise<void>;
}

const TIMEOUT_MS = 10_000;

/** Starts the subscriber with the credential in a NATS context file. Rejects with Fault Unavailable. */
export async function startFloor(context: string, caller: CountedCaller): Promise<Floor> {
  const child: Child = await startChild({
    program: process.execPath,
    words: [fileURLToPath(new URL("./floor-process.js", import.meta.url)), context],
    isReady: (line) => line === FLOOR_READY,
  });
  return {
    call: async (body) => (await caller.call(FLOOR_SUBJECT, body, { timeoutMs: TIMEOUT_MS })).body,
    pid: child.pid,
    stop: child.stop,
  };
}
