/** Looks at a broker from outside, for `pilot doctor`: what it is, and which of our services answer. */
import { connect, NatsError, RequestStrategy } from "nats";
import { LIMITS } from "../../protocol/limits.ts";
import { type BrokerFeatures, featuresOf } from "./broker/version.ts";
import type { ConnectionSettings } from "./context.ts";
import type { Connected } from "./nats.ts";

export interface BrokerView {
  readonly version: string;
  readonly name: string;
  readonly url: string;
  readonly maxPayload: number;
  readonly roundTripMs: number;
  readonly features: BrokerFeatures;
  /** Undefined when it answers; else why not. */
  readonly jetstream: { readonly streams: number; readonly bytes: number } | { readonly missing: string };
}

/** One answer to `$SRV.PING`. */
export interface ServiceView {
  readonly name: string;
  readonly id: string;
  readonly version: string;
  /** Id of the node that runs it. */
  readonly node: string;
  /** Number of what it says on the wire; 1 where it does not tell. */
  readonly protocol: number;
}

export async function viewBroker({ nc }: Connected): Promise<BrokerView> {
  const roundTripMs = await nc.rtt();
  const info = nc.info;
  const version = info?.version ?? "unknown";
  return {
    version,
    name: info?.server_name ?? "",
    url: nc.getServer(),
    maxPayload: info?.max_payload ?? 0,
    roundTripMs,
    features: featuresOf(version),
    jetstream: await viewJetStream(nc),
  };
}

async function viewJetStream(nc: Connected["nc"]): Promise<BrokerView["jetstream"]> {
  try {
    const manager = await nc.jetstreamManager();
    const account = await manager.getAccountInfo();
    return { streams: account.streams, bytes: account.storage };
  } catch (error) {
    return { missing: error instanceof Error ? error.message : String(error) };
  }
}

/** What who gives no credential may do on a server. */
export type Edge = "refused" | "public" | "internal" | "unknown";

/**
 * `refused`: nobody is let in so. `public`: public subjects only. `internal`: hears internal ones too, which the configuration of
 * our own servers forbids. `unknown`: no connection came about, for another reason than that the server refused it.
 */
export async function viewEdge({ servers, tls }: Pick<ConnectionSettings, "servers" | "tls">): Promise<Edge> {
  const options = { servers: [...servers], reconnect: false, timeout: LIMITS.brokerProbe.value, name: "pilot doctor" };
  // The server's certificate is believed as ever; the client's own would be a credential.
  const nc = await connect({ ...options, ...(tls?.ca !== undefined && { tls: { caFile: tls.ca } }) }).catch((thrown: unknown): Edge => {
    return thrown instanceof NatsError && thrown.isAuthError() ? "refused" : "unknown";
  });
  if (typeof nc === "string") return nc;
  try {
    const permitted = new Promise<boolean>((resolve) => {
      nc.subscribe("_pilot.>", { callback: (error) => error !== null && resolve(false) });
      // The server has answered the subscription before it answers this.
      nc.flush().then(
        () => setImmediate(() => resolve(true)),
        () => resolve(false),
      );
    });
    return (await permitted) ? "internal" : "public";
  } finally {
    await nc.close();
  }
}

/** Everybody who answers `$SRV.PING` within `waitMs` and has a name that starts with `pilot-`. */
export async function pingServices({ nc }: Connected, waitMs: number): Promise<ServiceView[]> {
  const found: ServiceView[] = [];
  try {
    const answers = await nc.services.client({ maxWait: waitMs, strategy: RequestStrategy.JitterTimer }).ping();
    for await (const answer of answers) {
      if (answer.name.startsWith("pilot-"))
        found.push({
          name: answer.name,
          id: answer.id,
          version: answer.version,
          node: answer.metadata?.["node"] ?? "",
          protocol: Number(answer.metadata?.["protocol"] ?? 1) || 1,
        });
    }
  } catch (error) {
    // Nobody at all is an answer too.
    if ((error as { code?: string }).code !== "503") throw error;
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}
