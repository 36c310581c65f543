/**
 * Rungs 2 and 3: a new container on an active instance of the account: `cached` where the code is already on the
 * instance, `own` elsewhere. An instance with a booted spare comes first, then the fullest, so that others empty.
 */

import type { InstanceHint } from "../../../protocol/messages/host.ts";
import type { Fleet, HostView } from "../fleet.ts";
import type { PlacementRequest, Verdict } from "./request.ts";

export function cached(request: PlacementRequest, fleet: Fleet): Verdict | undefined {
  return onInstance(request, fleet, "cached");
}

export function own(request: PlacementRequest, fleet: Fleet): Verdict | undefined {
  return onInstance(request, fleet, "own");
}

function onInstance(request: PlacementRequest, fleet: Fleet, rung: "cached" | "own"): Verdict | undefined {
  let best: { host: HostView; instance: InstanceHint; room: number; spare: boolean } | undefined;
  const except = request.evicts ? request.key : undefined;
  for (const [instance, host] of fleet.owned(request.account)) {
    if (instance.state !== "active" || host.announcement.draining) continue;
    if (instance.runtime !== request.runtime || instance.network !== request.network) continue;
    if (request.refusedBy.has(`${host.id}:${rung}`) || host.free(except) < request.memoryMb) continue;
    if (rung === "cached" && !instance.code.includes(request.codeKey)) continue;
    const room = host.room(instance, except);
    if (room < request.memoryMb) continue;
    const spare = host.spares(instance) > 0;
    if (best === undefined || (spare && !best.spare) || (spare === best.spare && room < best.room)) best = { host, instance, room, spare };
  }
  if (best === undefined) return undefined;
  const { createMs } = best.host.announcement;
  const what = rung === "cached" ? "has the code and room" : "has room";
  return {
    kind: "place",
    host: best.host.id,
    rung,
    instance: best.instance.id,
    estimateMs: best.spare ? createMs[rung] : Math.max(createMs[rung], createMs.cold),
    reason: `the account's instance ${best.instance.id} ${what}${best.spare ? "" : "; a container is booted there"}`,
  };
}
