/** The broker's servers as a connection knows them at this moment. */
import type { NatsConnection } from "nats";

/** The server that it is connected to, and those of the cluster that this one told of; `host:port` each. */
export function knownServers(nc: NatsConnection): string[] {
  const { connect_urls: told = [] } = nc.info ?? {};
  return nc.isClosed() ? [...told] : [nc.getServer(), ...told];
}
