/** What the broker refuses a credential. */
import { Events, type NatsConnection } from "nats";

/** Is this refused? The refusal arrives as an event of the connection, before the answer to a ping that follows. */
export async function refused(nc: NatsConnection, act: () => void): Promise<boolean> {
  const seen: string[] = [];
  const events = nc.status();
  const reading = (async () => {
    for await (const event of events) if (event.type === Events.Error) seen.push(String(event.data));
  })();
  act();
  await nc.flush();
  // The event stream is fed in later turns of the loop than the flush.
  await new Promise((resolve) => setImmediate(resolve));
  (events as unknown as { stop(): void }).stop();
  await reading;
  return seen.length > 0;
}
