/**
 * When a process that ended is started again, and when to give up; pure.
 *
 * R1  Of the ends within any `windowMs`, at most `most` are answered with a restart.
 * R2  The wait doubles with each restart in the window, from `delayMinMs` up to `delayMaxMs`, and starts anew after a quiet window.
 */

export interface RestartPolicy {
  /** Restarts allowed within the window. */
  readonly most: number;
  readonly windowMs: number;
  readonly delayMinMs: number;
  readonly delayMaxMs: number;
}

/** Times of the restarts that still count, oldest first, in monotonic ms. Begin with `[]`. */
export type RestartHistory = readonly number[];

export type RestartVerdict =
  | { readonly kind: "restart"; readonly delayMs: number; readonly history: RestartHistory }
  /** It ends too often: `count` ends within the window. */
  | { readonly kind: "give-up"; readonly count: number };

/** What to do about an end at `now` (monotonic ms, never before the last one in the history). */
export function afterEnd(policy: RestartPolicy, history: RestartHistory, now: number): RestartVerdict {
  const recent = history.filter((at) => now - at < policy.windowMs);
  if (recent.length >= policy.most) return { kind: "give-up", count: recent.length + 1 };
  const delayMs = Math.min(policy.delayMaxMs, policy.delayMinMs * 2 ** recent.length);
  return { kind: "restart", delayMs, history: [...recent, now] };
}
