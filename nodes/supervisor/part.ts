/** What the supervisor keeps alive: the broker and the nodes, seen the same way. */
import { Fault } from "../../protocol/errors.ts";
import type { NodeMetrics } from "../../protocol/messages/metrics.ts";

export interface Part {
  /** Node id, or `broker`. */
  readonly name: string;
  /** Neighbours of one stage stop together. Default: a stage of its own. */
  readonly stage?: string;
  /**
   * Starts it and resolves when it is ready. Rejects with a Fault when it ended before; with Hopeless when another attempt
   * would end the same way. `signal`: give up and leave no process.
   */
  start(signal: AbortSignal): Promise<RunningPart>;
}

export interface RunningPart {
  readonly pid: number;
  /** Resolves when the process is gone, with one sentence on how it ended and what it said last. */
  readonly exited: Promise<string>;
  /** After its end: what to do about it. Absent: start it again. */
  ending?(): Ending;
  /** Orderly stop, with so long for what it has under work; asks only, `exited` tells when it is done. */
  drain(waitMs: number): void;
  /** How long it may still finish its work, where somebody from afar has asked it to stop and said so; else 0. */
  promisedMs?(): number;
  kill(): void;
  /** Of a node: what it counts. Rejects with Fault Unavailable when it does not answer. */
  metrics?(): Promise<NodeMetrics>;
}

export type Ending =
  | { readonly kind: "again" }
  /** It was stopped on request and stays away; the others go on. */
  | { readonly kind: "over" }
  /** Another start would end the same way: everything stops with the reason. */
  | { readonly kind: "hopeless"; readonly fault: Fault };

/** A start that need not be tried again. */
export class Hopeless extends Fault {}
