/**
 * Rung 1: an idle container that has the code loaded. The host with fewest idle ones, so that others empty.
 * `queued` is its second form: no container is idle, and the call joins the queue at a host in which it has fewest turns to wait.
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
  let best: { host: string; length: number; turns: number } | undefined;
  for (const host of fleet.withKey(request.key)) {
    if (host.announcement.draining || request.refusedBy.has(`${host.id}:hot`)) continue;
    const { idle, busy, loading } = fleet.slots(host, request.key);
    const containers = idle + busy + loading;
    // Orders on their way count as busy containers; more of them than there are will queue.
    const length = (host.functions.get(request.functionKey)?.queued ?? 0) + Math.max(0, -idle);
    if (containers === 0 || length >= LIMITS.hostQueue.value / 2) continue;
    const turns = (length + 1) / containers;
    if (best === undefined || turns < best.turns) best = { host: host.id, length, turns };
  }
  return (
    best && { kind: "place", host: best.host, rung: "hot", queue: true, estimateMs: 0, reason: `${best.length} calls wait there before it` }
  );
};
