/**
 * Rung 1: an idle container that has the code loaded. The host with fewest idle ones, so that others empty.
 * `queued` is its second form: no container is idle, and the call joins the shortest queue at a host.
 */
import { LIMITS } from "../../../protocol/limits.ts";
import type { RungPolicy } from "./request.ts";

export const hot: RungPolicy = (request, fleet) => {
  let best: { host: string; idle: number } | undefined;
  for (const host of fleet.withKey(request.key)) {
    if (host.announcement.draining || request.refusedBy.has(`${host.id}:hot`)) continue;
    const { idle } = fleet.slots(host, request.key);
    if (idle > 0 && (best === undefined || idle < best.idle)) best = { host: host.id, idle };
  }
  return best && { kind: "place", host: best.host, rung: "hot", estimateMs: 0, reason: "an idle container has the code" };
};

export const queued: RungPolicy = (request, fleet) => {
  let best: { host: string; length: number } | undefined;
  for (const host of fleet.withKey(request.key)) {
    if (host.announcement.draining || request.refusedBy.has(`${host.id}:hot`)) continue;
    const { idle, busy, loading } = fleet.slots(host, request.key);
    const length = host.functions.get(request.functionKey)?.queued ?? 0;
    if (idle + busy + loading === 0 || length >= LIMITS.hostQueue.value / 2) continue;
    if (best === undefined || length < best.length) best = { host: host.id, length };
  }
  return (
    best && { kind: "place", host: best.host, rung: "hot", queue: true, estimateMs: 0, reason: `${best.length} calls wait there before it` }
  );
};
