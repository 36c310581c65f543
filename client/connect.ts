/** Opening a client. */
import { resolveConnection } from "../nodes/io/context.ts";
import { connect as dial } from "../nodes/io/nats.ts";
import { Fault } from "../protocol/errors.ts";
import { LIMITS } from "../protocol/limits.ts";
import { DEFAULT_ACCOUNT } from "../protocol/names.ts";
import { isAnswerable } from "../protocol/subjects.ts";
import { PilotError } from "./error.ts";
import type { ConnectOptions } from "./options.ts";
import { openPilot, type Pilot } from "./pilot.ts";
import { accountOf } from "./request.ts";

/**
 * Connects to the broker of a platform. Without options: the newest `pilot up` on this machine, or what the environment and NATS
 * contexts say. Rejects with PilotError: Unavailable when no server can be reached, NotAllowed when the credential is refused,
 * BadRequest for an option that makes no sense. The connection keeps the process alive until `close`.
 *
 *     const pilot = await connect({ servers: ["nats://a:4222", "nats://b:4222"], creds: "me.creds", account: "shop" });
 */
export async function connect(options: ConnectOptions = {}): Promise<Pilot> {
  try {
    return await open(options);
  } catch (thrown) {
    throw PilotError.of(thrown);
  }
}

async function open(options: ConnectOptions): Promise<Pilot> {
  const { servers, tls, account = DEFAULT_ACCOUNT, whileAway = "wait", underWay = "wait", onStatus } = options;
  accountOf(account);
  const settings = await resolveConnection(
    {
      server: servers === undefined || typeof servers === "string" ? servers : servers.join(","),
      context: options.context,
      creds: options.creds,
      nkey: options.nkey,
      user: options.user,
      password: options.password,
      token: options.token,
      tlscert: tls?.cert,
      tlskey: tls?.key,
      tlsca: tls?.ca,
      inboxPrefix: options.inboxPrefix,
    },
    process.env,
  );
  const prefix = settings.inboxPrefix ?? "_INBOX";
  if (!isAnswerable(`${prefix}.x`, LIMITS.replySubject.value / 2))
    throw new Fault("BadRequest", `no reply would be sent to the inbox ${prefix}: it must be under _INBOX or _R_`);
  const platform = await dial(settings, {
    name: options.name ?? "pilotlight",
    role: "anonymous",
    node: "client",
    reconnects: options.reconnect === false ? 0 : -1,
    ordered: true,
    away: { calls: whileAway, underWay },
    ...(onStatus !== undefined && { onStatus }),
  });
  void platform.nc.closed().then(() => onStatus?.("closed"));
  onStatus?.("connected");
  return openPilot(platform, { account, whileAway });
}
