/** For how long a broker has owed an answer: it may hang while its connections stand. */
import type { NatsConnection } from "nats";

/** Pause between two questions to the broker. */
const ASK_MS = 250;
/** A broker that owes an answer for this long stands still; well below what a host may be silent, and a busy one answers in time. */
export const OWED_LATE_MS = 400;

/**
 * Asks the broker all the time whether it is there, and tells in ms for how long it has owed an answer; 0 when it owes none. What arrives on a
 * connection before the answer was sent before it. Ends with the connection.
 */
export function watchOwed(nc: NatsConnection): () => number {
  let askedAt: number | undefined;
  const answered = (): void => {
    askedAt = undefined;
  };
  const timer = setInterval(() => {
    if (nc.isClosed()) clearInterval(timer);
    else if (askedAt === undefined) {
      askedAt = performance.now();
      nc.flush().then(answered, answered);
    }
  }, ASK_MS);
  timer.unref();
  return () => (askedAt === undefined ? 0 : performance.now() - askedAt);
}
