/** How each role dials the broker: credentials, how soon a dead server is noticed, and how often it is dialled again. */
import { type ConnectionOptions, credsAuthenticator, jwtAuthenticator, nkeyAuthenticator } from "nats";
import { LIMITS } from "../../protocol/limits.ts";
import { inboxOf } from "../../protocol/subjects.ts";
import type { Connection, ConnectOptions } from "./nats.ts";

/** How often the only server is asked whether it is there. */
const LONELY_PING_MS = 10_000;
/** How long the only server may take to greet. */
const LONELY_DIAL_MS = 5_000;

/** What the client library is told, for a connection to these servers. */
export function dialOptions(connection: Connection, options: ConnectOptions): ConnectionOptions {
  const { servers, user, password, token, nkeySeed, jwt, creds, tls } = connection;
  const bytes = (text: string) => new TextEncoder().encode(text);
  return {
    servers: [...servers],
    name: options.name,
    noAsyncTraces: true,
    // A cut cable closes nothing. With one server only, to dial it again would help nobody, and one that stands still may go on.
    pingInterval: servers.length > 1 ? LIMITS.brokerPing.value : LONELY_PING_MS,
    maxPingOut: 2,
    reconnectTimeWait: 100,
    reconnectJitter: 100,
    // The library dials the server that was lost first, and one behind a cut cable never refuses.
    timeout: servers.length > 1 ? LIMITS.brokerDial.value : LONELY_DIAL_MS,
    maxReconnectAttempts: options.reconnects ?? (options.patient === true ? -1 : 10),
    reconnect: options.reconnects !== 0,
    noRandomize: options.ordered === true,
    waitOnFirstConnect: options.patient === true,
    inboxPrefix: options.role === "anonymous" ? (connection.inboxPrefix ?? "_INBOX") : inboxOf(options.role, options.node),
    ...(user !== undefined && { user }),
    ...(password !== undefined && { pass: password }),
    ...(token !== undefined && { token }),
    ...(nkeySeed !== undefined && jwt === undefined && { authenticator: nkeyAuthenticator(bytes(nkeySeed)) }),
    ...(jwt !== undefined && { authenticator: jwtAuthenticator(jwt, nkeySeed === undefined ? undefined : bytes(nkeySeed)) }),
    ...(creds !== undefined && { authenticator: credsAuthenticator(bytes(creds)) }),
    ...(tls !== undefined && {
      tls: {
        ...(tls.ca !== undefined && { caFile: tls.ca }),
        ...(tls.cert !== undefined && { certFile: tls.cert }),
        ...(tls.key !== undefined && { keyFile: tls.key }),
      },
    }),
  };
}
