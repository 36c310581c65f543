/**
 * How many calls are sent into a busy container before it asks for them, so that it finds the next one without a round
 * trip. Only where runs are so short that the wait behind them is less than that round trip is worth; a container that
 * turns slow gives them back. Pure.
 */
import { LIMITS } from "../../protocol/limits.ts";

export interface AheadView {
  /** Moving average of run time in ms; undefined while nothing has run. */
  readonly meanRunMs: number | undefined;
  /** The runtime can give back a call that it has not begun. */
  readonly givesBack: boolean;
  readonly bodyBytes: number;
}

/** Calls that may stand ahead in one container; 0: none. */
export function aheadDepth({ meanRunMs, givesBack, bodyBytes }: AheadView): number {
  if (!givesBack || meanRunMs === undefined || !isShort(meanRunMs) || bodyBytes > LIMITS.aheadBody.value) return 0;
  return Math.min(LIMITS.callsAhead.value, Math.floor(LIMITS.aheadWait.value / Math.max(meanRunMs, 0.01)));
}

/** True where a run takes less than what moves a call to another host. Undefined: nothing has run. */
export function isShort(meanRunMs: number | undefined): boolean {
  return meanRunMs !== undefined && meanRunMs <= LIMITS.aheadRun.value / 1_000;
}
