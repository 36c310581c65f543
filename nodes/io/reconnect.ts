/** Telling that a connection is back, or that the cluster has other servers than before. */
import { Events, type NatsConnection } from "nats";

/** Calls `listener` each time the connection was lost and is back. Returns how to stop. */
export const onReconnect = (nc: NatsConnection, listener: () => void): (() => void) => on(nc, Events.Reconnect, listener);

/** Calls `listener` each time servers joined the cluster or left it. Returns how to stop. */
export const onServersChanged = (nc: NatsConnection, listener: () => void): (() => void) => on(nc, Events.Update, listener);

function on(nc: NatsConnection, type: Events, listener: () => void): () => void {
  let listening = true;
  const events = nc.status();
  void (async () => {
    for await (const event of events) if (listening && event.type === type) listener();
  })();
  return () => {
    listening = false;
    // The iterator has it; its published type has not.
    (events as { stop?: () => void }).stop?.();
  };
}
