/**
 * Which calls may hear nothing because of a blow: those that were on the wire to or from what ended, as SPECIFICATION.md says.
 * Everything else is promised an answer or a typed error.
 */
import type { ChaosCall, Excuse, Kind } from "./chaos-load.ts";
import type { Seat } from "./chaos-seat.ts";

export type How = "kill" | "nap" | "sleep" | "broker kill" | "broker restart";

export interface Blow {
  readonly how: How;
  readonly victim: string;
  /** On the clock of performance.now(). */
  readonly at: number;
  /** When it was back, or awake. */
  readonly backAt: number;
  /** Nodes whose calls went through the server that was struck; none when a node was. */
  readonly through: readonly string[];
  /** Callers that sat on it. */
  readonly callers: readonly Seat[];
}

/** A message of which nothing is known but that it was sent; and the event loops that it has to pass on a busy machine. */
const WIRE_MS = 500;
/** A direct call is reported at 250 ms; the machine may be slow. */
const YOUNG_MS = 250 + WIRE_MS;
/** Functions that hosts answer directly once they are called often. */
const DIRECT: readonly Kind[] = ["direct", "pair", "again"];

export function excuseOf(blow: Blow): Excuse {
  const { how, victim, at } = blow;
  const why = `${how} of ${victim}`;
  const wasSent = ({ at: sent }: ChaosCall, before: number) => sent >= at - before && sent <= at + WIRE_MS;
  const covers = (call: ChaosCall): boolean => {
    if (how === "broker kill" || how === "broker restart") return wasCarried(blow, call);
    if (how !== "kill") return false;
    // What came to it and went nowhere yet.
    if (victim.startsWith("frontend-")) return call.runs.length === 0 && wasSent(call, WIRE_MS);
    if (victim.startsWith("host-")) return DIRECT.includes(call.kind) && wasSent(call, YOUNG_MS);
    return false;
  };
  return { why, at, covers };
}

/** The broker gives up a connection whose process stands still when two pings, a second apart, were not answered. */
const STALE_MS = 4_000;
/** A call is answered, or ends in an error, within this time on a machine that is not very busy. */
const OPEN_MS = 12_000;

/**
 * Callers that the broker gave up by itself: this process, in which they are, stood still for seconds, as happens where the machine is much
 * too busy. What was open then may have been answered to nobody, and the listeners, which sit here too, may have missed its run.
 */
export function absencesOf(seats: readonly Seat[], blows: readonly Blow[]): Excuse[] {
  return seats.flatMap((seat, nth) =>
    seat.aways
      .filter(({ leftAt }) => !blows.some(({ at, callers }) => callers.includes(seat) && leftAt >= at && leftAt <= at + STALE_MS))
      .map(({ leftAt, backAt }) => ({
        why: `caller ${nth} was given up by the broker`,
        at: leftAt,
        covers: (call: ChaosCall) => call.seat === seat && call.at >= leftAt - STALE_MS - OPEN_MS && call.at <= backAt,
      })),
  );
}

/** The call or its answer was on its way through the server when it ended, or its caller was not there to hear it. */
function wasCarried({ at, through, callers }: Blow, call: ChaosCall): boolean {
  const passes = (role: string) => through.some((node) => node.startsWith(`${role}-`));
  const isCaller = callers.includes(call.seat);
  // From then on the caller keeps calls, and hears answers again.
  const [leftAt, backAt] = isCaller ? call.seat.awayAfter(at) : [at, at];
  if (call.runs.length === 0) {
    if (call.at < at - WIRE_MS || call.at > Math.max(leftAt, at + WIRE_MS)) return false;
    return isCaller || passes("frontend") || (DIRECT.includes(call.kind) && passes("host"));
  }
  const answeredAt = (call.runs.at(-1) ?? 0) + call.ms;
  if (answeredAt < at - WIRE_MS || answeredAt > backAt + WIRE_MS) return false;
  return isCaller || passes("host");
}
