/** Entry of a gateway process: calls by HTTP. It is a client of the platform like any other, with a token for those beyond this machine. */
import { DEFAULT_HTTP, readHttpAddress } from "../actors/gateway/address.ts";
import { announceGateway } from "../actors/gateway/presence.ts";
import { Samples } from "../actors/kit/samples.ts";
import { callRoutes } from "./gateway/calls.ts";
import { healthRoute } from "./gateway/health.ts";
import { metricsRoute } from "./gateway/metrics.ts";
import { systemClock, systemRandom } from "./io/clock.ts";
import { openHttp } from "./io/http.ts";
import { readTokens } from "./io/http-token.ts";
import { scrape } from "./io/metrics-text.ts";
import { runRole } from "./io/role.ts";

await runRole(async ({ settings, log, calls, control }) => {
  const address = readHttpAddress(settings.http ?? DEFAULT_HTTP);
  const [token, metrics] = await Promise.all(
    [settings.httpTokenFile, settings.metricsTokenFile].map((file) => (file === undefined ? undefined : readTokens(file))),
  );
  const called = callRoutes({ caller: calls.caller, bus: control.bus });
  const health = healthRoute({ caller: calls.caller, isConnected: () => calls.bus.connected });
  // A further path is one more row.
  const http = await openHttp({
    address,
    token,
    routes: [...called.routes, health, metricsRoute(() => scrape(control.bus), { callers: token, metrics })],
    log,
  });
  const presence = announceGateway({ control: control.bus, clock: systemClock, random: systemRandom }, settings.node);
  log.info("listening", { url: http.url });
  const told = () => {
    const { open = 0, heldBytes = 0, ...counters } = http.counters();
    return { counters, held: { requests: open, requestBytes: heldBytes } };
  };
  return {
    inspected: {
      inspect: () => ({ epoch: presence.epoch, actors: [], ...told(), waits: [], address: http.url }),
      metrics() {
        const samples = new Samples();
        const { counters, held } = told();
        samples.counters(counters);
        samples.held(held);
        return samples.toRecord();
      },
    },
    async drain(waitMs) {
      presence.drain();
      await http.stop(waitMs);
      await called.settled();
      presence.stop();
    },
  };
});
