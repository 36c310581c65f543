/**
 * Where a direct call goes when no container is idle: into the host's own queue, or on to the function's keeper (F025).
 * Pure: from a snapshot to a verdict.
 */
import { LIMITS } from "../../protocol/limits.ts";

export interface AdmissionView {
  /** Calls that wait here already. */
  readonly queued: number;
  /** Containers of the function here that serve or will serve: busy and loading. */
  readonly slots: number;
  /** Moving average of run time in ms; undefined while nothing has run. */
  readonly meanRunMs: number | undefined;
  /** What a new container takes until it can run, in ms. */
  readonly createMs: number;
  /** What the way over the keeper to another host takes lately, in ms. */
  readonly handOnMs: number;
  /** No further container of the function is allowed anywhere, and all are here. */
  readonly atCap: boolean;
  /** No further container of the function is allowed anywhere, as the grant says; some are on other hosts. */
  readonly isFull: boolean;
  /** Its code takes less than a hand-on does of the nodes' own work: LIMITS.aheadRun. */
  readonly isShort: boolean;
  /** Bounds of the queue allow one more. */
  readonly hasQueueRoom: boolean;
}

export type Verdict = "queue" | "hand-on";

/**
 * Waiting here is right when it is at most as long as the way to another place and what the call waits for there, or when there is
 * no other. That is a new container; where none may be made, the queue of another host. What others know of that is as old as its last
 * announcement: a queue of short calls that is worked off before the next one is no reason to go there, and the way would cost more
 * than the run. One of long calls is, so that no container is idle while calls wait elsewhere.
 */
export function admit(view: AdmissionView): Verdict {
  if (!view.hasQueueRoom || view.slots === 0) return "hand-on";
  if (view.atCap) return "queue";
  if (view.meanRunMs === undefined) return "hand-on";
  const waitMs = ((view.queued + 1) * view.meanRunMs) / view.slots;
  const thereMs = view.isFull && view.isShort ? Math.max(view.createMs, LIMITS.announceEvery.value) : view.createMs;
  return waitMs <= view.handOnMs + thereMs ? "queue" : "hand-on";
}
