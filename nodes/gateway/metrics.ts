/**
 * `GET /metrics`, for Prometheus: the metrics of all nodes at a gateway, and of its own nodes at a supervisor (own-metrics.ts). They name the functions of every account, which is more than who calls one has
 * to know: where callers need a token, metrics need another.
 */
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import type { HttpRoute } from "../io/http.ts";
import type { TokenCheck } from "../io/http-token.ts";
import { METRICS_TYPE } from "../io/metrics-text.ts";

export interface MetricsAccess {
  /** What callers are asked for; undefined: nothing, and then metrics need nothing either. */
  readonly callers: TokenCheck | undefined;
  readonly metrics: TokenCheck | undefined;
}

/**
 * 200 with the text that `read` gives, or its Fault (503 when no scheduler answers); 403 where callers need a token and metrics have none of their own. Gathered once
 * for all who ask within LIMITS.metricsEvery.
 */
export function metricsRoute(read: () => Promise<string>, { callers, metrics: token }: MetricsAccess): HttpRoute {
  let known: { readonly until: number; readonly text: Promise<string> } | undefined;
  return {
    method: "GET",
    path: "/metrics",
    token,
    async serve(request) {
      if (callers !== undefined && token === undefined)
        throw new Fault("NotAllowed", "this gateway has no token for metrics, and that of callers does not show them", {
          next: "Start the gateway with --metrics-token FILE, or run pilot metrics.",
        });
      const now = performance.now();
      if (known === undefined || known.until < now) {
        const text = read();
        const mine = { until: now + LIMITS.metricsEvery.value, text };
        known = mine;
        text.catch(() => {
          if (known === mine) known = undefined;
        });
      }
      const body = Buffer.from(await known.text);
      request.hold(body.length);
      return { status: 200, headers: { "Content-Type": METRICS_TYPE }, body };
    },
  };
}
