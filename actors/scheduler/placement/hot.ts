/** Rung 1: an idle container that has the code loaded. The host with fewest idle ones, so that others empty. */
import type { RungPolicy } from "./request.ts";

export const hot: RungPolicy = (request, fleet) => {
  let best: { host: string; idle: number } | undefined;
  for (const host of fleet.taking()) {
    if (request.refusedBy.has(`${host.id}:hot`)) continue;
    const { idle } = fleet.slots(host, request.key);
    if (idle > 0 && (best === undefined || idle < best.idle)) best = { host: host.id, idle };
  }
  return best && { kind: "place", host: best.host, rung: "hot", estimateMs: 0, reason: "an idle container has the code" };
};
