/**
 * Whether the broker is there, and whether this process was: both are found out by asking the broker several times a second.
 *
 * P1  A broker may hang while its connections stand, and then nobody can be heard.
 * P2  The broker ends the connection of a process that sleeps for seconds. What that writes when it wakes is lost, and a second
 *     write makes the system throw away what had come before and was not read yet. So after a sleep nothing is to be written
 *     until what had come is read and the broker has answered, on that connection or the next.
 */
import type { NatsConnection } from "nats";
import { LIMITS } from "../../protocol/limits.ts";

/** Pause between two questions to the broker. */
const ASK_MS = 250;
/** A broker that owes an answer for this long stands still; well below what a host may be silent, and a busy one answers in time. */
const LATE_MS = 400;

export interface Pulse {
  /** For how many ms the broker has owed an answer; what arrives before the answer was sent before it. */
  owedMs(): number;
  /** False while the broker does not answer. */
  answers(): boolean;
  /** False from the end of a sleep until the broker has answered. */
  isSteady(): boolean;
}

/** `steady` is called each time that has become true again. */
export function openPulse(nc: NatsConnection, steady: () => void): Pulse {
  let askedAt: number | undefined;
  let tickedAt = performance.now();
  let sleeps = 0;
  /** The last sleep after which the broker has answered. */
  let answeredFor = 0;
  /** Notices a sleep that lasted until now. */
  const look = (): void => {
    const now = performance.now();
    if (now - tickedAt <= LIMITS.clockGap.value + ASK_MS) return;
    tickedAt = now;
    sleeps++;
  };
  const ask = (): void => {
    if (askedAt !== undefined || nc.isClosed()) return;
    askedAt = performance.now();
    const asked = sleeps;
    nc.flush().then(
      () => {
        askedAt = undefined;
        look();
        // What was asked before a sleep may have been answered before the broker ended the connection.
        if (asked !== sleeps || asked === answeredFor) return;
        answeredFor = asked;
        steady();
      },
      () => {
        askedAt = undefined;
      },
    );
  };
  const timer = setInterval(() => {
    if (nc.isClosed()) return clearInterval(timer);
    look();
    tickedAt = performance.now();
    // What had come is read first.
    if (sleeps !== answeredFor) setImmediate(ask);
    else ask();
  }, ASK_MS);
  timer.unref();
  const owedMs = (): number => (askedAt === undefined ? 0 : performance.now() - askedAt);
  return {
    owedMs,
    answers: () => owedMs() <= LATE_MS,
    isSteady() {
      look();
      return sleeps === answeredFor;
    },
  };
}
