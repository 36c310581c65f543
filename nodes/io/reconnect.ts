/** Telling that a connection is back. */
import { Events, type NatsConnection } from "nats";

/** Calls `listener` each time the connection was lost and is back. Returns how to stop. */
export function onReconnect(nc: NatsConnection, listener: () => void): () => void {
  let listening = true;
  const events = nc.status();
  void (async () => {
    for await (const event of events) if (listening && event.type === Events.Reconnect) listener();
  })();
  return () => {
    listening = false;
    // The iterator has it; its published type has not.
    (events as { stop?: () => void }).stop?.();
  };
}
