/**
 * Where a direct call goes when no container is idle: into the host's own queue, or on to the function's keeper (F025).
 * Pure: from a snapshot to a verdict.
 */
export interface AdmissionView {
  /** Calls that wait here already. */
  readonly queued: number;
  /** Containers of the function here that serve or will serve: busy and loading. */
  readonly slots: number;
  /** Moving average of run time in ms; undefined while nothing has run. */
  readonly meanRunMs: number | undefined;
  /** What a new container takes until it can run, in ms. */
  readonly createMs: number;
  /** No further container of the function is allowed anywhere. */
  readonly atCap: boolean;
  /** Bounds of the queue allow one more. */
  readonly hasQueueRoom: boolean;
}

export type Verdict = "queue" | "hand-on";

/** Waiting here is right when it is at most as long as making a container, or when none may be made. */
export function admit(view: AdmissionView): Verdict {
  if (!view.hasQueueRoom || view.slots === 0) return "hand-on";
  if (view.atCap) return "queue";
  if (view.meanRunMs === undefined) return "hand-on";
  return ((view.queued + 1) * view.meanRunMs) / view.slots <= view.createMs ? "queue" : "hand-on";
}
