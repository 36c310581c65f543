/** Making sure that the broker knows what was sent. */
import type { NatsConnection } from "nats";

/**
 * Resolves when the broker has everything that was sent and subscribed so far. A connection that goes away meanwhile is waited for:
 * it subscribes again by itself. Rejects when it is closed for good.
 */
export async function flushed(nc: NatsConnection): Promise<void> {
  for (;;) {
    try {
      return await nc.flush();
    } catch (lost) {
      if (nc.isClosed()) throw lost;
    }
  }
}
