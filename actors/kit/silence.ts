/**
 * Has somebody been silent for too long? Only time in which the judge itself was awake counts; pure.
 *
 * The judge calls `tick` at a steady pace. When a tick comes late, the judge slept (or the whole machine did), and
 * what it missed is not held against the one it watches: of each gap at most two paces count.
 */

export interface Silence {
  /** Counted ms since the last sign of life. */
  readonly silentMs: number;
  /** Monotonic ms of the last tick. */
  readonly tickedAt: number;
}

/** Watching begins at `now`, as if a sign of life had just come. */
export function beginSilence(now: number): Silence {
  return { silentMs: 0, tickedAt: now };
}

/** A sign of life. */
export function heard(silence: Silence): Silence {
  return silence.silentMs === 0 ? silence : { ...silence, silentMs: 0 };
}

/** The judge looks at its clock, as it does every `paceMs`. */
export function tick(silence: Silence, now: number, paceMs: number): Silence {
  const gap = Math.max(0, now - silence.tickedAt);
  return { silentMs: silence.silentMs + Math.min(gap, 2 * paceMs), tickedAt: now };
}
