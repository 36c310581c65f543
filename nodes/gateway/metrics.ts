/** `GET /metrics`: the metrics of all nodes, for Prometheus. Whoever may call may read them: with the token where there is one. */
import type { Bus } from "../../actors/kit/bus.ts";
import { LIMITS } from "../../protocol/limits.ts";
import type { HttpRoute } from "../io/http.ts";
import { METRICS_TYPE, scrape } from "../io/metrics-text.ts";

/** 200 with the text, or 503 when no scheduler answers. Gathered once for all who ask within LIMITS.metricsEvery. */
export function metricsRoute(control: Bus): HttpRoute {
  let known: { readonly until: number; readonly text: Promise<string> } | undefined;
  return {
    method: "GET",
    path: "/metrics",
    async serve({ hold }) {
      const now = performance.now();
      if (known === undefined || known.until < now) {
        const text = scrape(control);
        const mine = { until: now + LIMITS.metricsEvery.value, text };
        known = mine;
        text.catch(() => {
          if (known === mine) known = undefined;
        });
      }
      const body = Buffer.from(await known.text);
      hold(body.length);
      return { status: 200, headers: { "Content-Type": METRICS_TYPE }, body };
    },
  };
}
