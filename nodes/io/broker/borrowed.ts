/**
 * A NATS server that already runs and is not ours: is it fit, and how do our nodes reach it?
 *
 * W1  Nothing of the server's configuration is changed; who else may hear or send `_pilot.>` is its own decision.
 * W2  What is missing is said before anything is started: JetStream, size of messages, rights.
 */
import { join, resolve } from "node:path";
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { SUBJECT } from "../../../protocol/subjects.ts";
import { prepareStorage } from "../buckets.ts";
import type { ConnectionSettings } from "../context.ts";
import { replaceFile } from "../directory.ts";
import { type Connected, connect } from "../nats.ts";
import type { Store } from "../store.ts";
import { until } from "../until.ts";
import { BROKER_SUPPORT } from "./release.ts";
import { atLeast } from "./version.ts";

export interface BorrowedBroker {
  /** As callers dial it. */
  readonly url: string;
  readonly version: string;
}

/** Tries everything that the nodes will need, with their credential. Rejects with Fault Unavailable or NotAllowed and what to change. */
export async function inspectBroker(settings: ConnectionSettings): Promise<BorrowedBroker> {
  const platform = await connect(settings, { name: "pilot up", role: "operator", node: `up-${process.pid}` });
  try {
    const { version, max_payload: most = 0 } = platform.nc.info ?? { version: "unknown" };
    if (!atLeast(version, BROKER_SUPPORT.reduced))
      throw unfit(`it is nats-server ${version}`, `use ${BROKER_SUPPORT.reduced} or later; ${BROKER_SUPPORT.full} and later have no gaps`);
    const wanted = LIMITS.brokerPayload.value;
    if (most < wanted) throw unfit(`it takes messages of ${most} bytes`, `set max_payload: ${wanted} in its configuration and reload it`);
    await mayTalk(platform);
    await prepareStorage(platform.nc).catch((thrown: unknown) => {
      const { name, message, details } = Fault.from(thrown);
      const rights = name === "NotAllowed";
      throw unfit(message, rights ? RIGHTS : String(details?.["next"] ?? "See the log of that server."), thrown, rights);
    });
    return { url: settings.servers.join(","), version };
  } finally {
    await platform.close();
  }
}

const RIGHTS = "Give a credential with the rights of the operator: pilot permissions prints them.";

function unfit(what: string, next: string, cause?: unknown, rights = false): Fault {
  return new Fault(rights ? "NotAllowed" : "Unavailable", `this broker cannot be used: ${what}`, { next }, cause);
}

/** Sends a message through the internal tree to itself. */
async function mayTalk({ bus }: Connected): Promise<void> {
  const subject = SUBJECT.report(`up-${process.pid}`);
  let heard = false;
  const subscription = bus.listen(subject, {}, () => (heard = true));
  bus.send(subject, new Uint8Array(0));
  await until(() => (heard ? true : undefined), LIMITS.brokerProbe.value);
  await subscription.stop();
  if (!heard) throw unfit(`the credential may not send and hear ${SUBJECT.report("*")}`, RIGHTS, undefined, true);
}

/** Where context files are kept. */
export type Contexts = Pick<Store, "contexts" | "writeContext">;

/** Writes the context files of these users. One credential serves all: what a role may do there is the server's business. */
export async function writeContexts(settings: ConnectionSettings, store: Contexts, users: readonly string[]): Promise<void> {
  const context = await contextOfSettings(settings, store);
  for (const user of users) await store.writeContext(user, context);
}

/** What a context file of this store says to reach the server as `settings` do; secrets go to files of their own beside it. */
async function contextOfSettings(settings: ConnectionSettings, store: Contexts): Promise<Record<string, string>> {
  const { servers, user, password, token, creds, nkeySeed, jwt, tls, inboxPrefix } = settings;
  const keep = async (name: string, content: string): Promise<string> => {
    const path = join(store.contexts, name);
    await replaceFile(path, content);
    return path;
  };
  const entries = {
    description: "pilotlight, on a server that it did not start",
    url: servers.join(","),
    user,
    password,
    token,
    creds: creds === undefined ? undefined : await keep("broker.creds", creds),
    nkey: nkeySeed === undefined || jwt !== undefined ? undefined : await keep("broker.nk", nkeySeed),
    user_jwt: jwt,
    user_seed: jwt === undefined ? undefined : nkeySeed,
    // Whoever reads the context stands in another directory.
    cert: tls?.cert && resolve(tls.cert),
    key: tls?.key && resolve(tls.key),
    ca: tls?.ca && resolve(tls.ca),
    inbox_prefix: inboxPrefix,
  };
  return Object.fromEntries(Object.entries(entries).filter((entry): entry is [string, string] => entry[1] !== undefined));
}
