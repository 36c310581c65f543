/**
 * `GET /metrics` of the process of `pilot up` or `pilot node run`: the metrics of its own nodes, asked of them directly. It needs no broker and
 * no scheduler, so that it tells of them also while those are away; and whoever scrapes each machine has each node once.
 */
import { readHttpAddress } from "../actors/gateway/address.ts";
import { gathered } from "../actors/scheduler/gather-metrics.ts";
import { Fault } from "../protocol/errors.ts";
import type { NodeMetrics } from "../protocol/messages/metrics.ts";
import { metricsRoute } from "./gateway/metrics.ts";
import { type HttpServer, openHttp } from "./io/http.ts";
import { readTokens } from "./io/http-token.ts";
import { metricsText } from "./io/metrics-text.ts";

export interface OwnMetricsOptions {
  /** As `address:port`; port 0: a free one. */
  readonly address: string;
  /** With the token that is asked for; needed for an address that is not loopback. */
  readonly tokenFile: string | undefined;
  readonly nodes: readonly string[];
  /** Rejects when the node does not answer: it is counted as unheard. */
  ask(node: string): Promise<NodeMetrics>;
  readonly say: (sentence: string) => void;
}

/** Listens. Rejects with Fault BadRequest for an address or a token file that cannot be used. */
export async function serveOwnMetrics({ address, tokenFile, nodes, ask, say }: OwnMetricsOptions): Promise<HttpServer> {
  const at = readHttpAddress(address);
  if (tokenFile === undefined && !at.isLoopback)
    throw new Fault("BadRequest", `metrics are shown at ${at.host} only for a token`, {
      next: "Give --metrics-token FILE, or listen at 127.0.0.1.",
    });
  const token = tokenFile === undefined ? undefined : await readTokens(tokenFile);
  const read = async () => metricsText(await gathered(nodes, ask));
  const quiet = (): void => undefined;
  const loud = (message: string): void => say(`metrics: ${message}`);
  const log = { debug: quiet, info: quiet, warn: loud, error: loud };
  return openHttp({ address: at, token, routes: [metricsRoute(read, { callers: undefined, metrics: token })], log });
}
