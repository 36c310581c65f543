/** Rung 5: an instance is booted, on the fullest host that has the memory. */
import { BOX_MB } from "../fleet.ts";
import type { RungPolicy } from "./request.ts";

export const cold: RungPolicy = (request, fleet) => {
  let best: { host: string; free: number; estimateMs: number } | undefined;
  for (const host of fleet.taking()) {
    if (request.refusedBy.has(`${host.id}:cold`)) continue;
    if (host.announcement.runtimes[request.runtime] === undefined) continue;
    if (request.network && !host.announcement.network) continue;
    const free = host.free(request.evicts ? request.key : undefined);
    if (free < request.memoryMb + BOX_MB) continue;
    if (best === undefined || free < best.free) best = { host: host.id, free, estimateMs: host.announcement.createMs.cold };
  }
  return (
    best && {
      kind: "place",
      host: best.host,
      rung: "cold",
      instanceMb: Math.max(request.instanceMb, request.memoryMb),
      estimateMs: best.estimateMs,
      reason: request.network
        ? "functions with network get an instance of their own kind, which is booted"
        : "no warm instance is left; one is booted",
    }
  );
};
