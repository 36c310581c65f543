/** Rung 4: a warm instance of the right configuration becomes the account's. The smallest that suffices, on the fullest host. */
import type { RungPolicy } from "./request.ts";

export const warm: RungPolicy = (request, fleet) => {
  // The pool holds instances without network only.
  if (request.network) return undefined;
  let best: { host: string; instanceMb: number; free: number; estimateMs: number } | undefined;
  for (const host of fleet.taking()) {
    if (request.refusedBy.has(`${host.id}:warm`)) continue;
    const free = host.free(request.evicts ? request.key : undefined);
    const smallest = host.warm(request.runtime, request.memoryMb);
    if (smallest === undefined || free < request.memoryMb) continue;
    if (best === undefined || smallest.memoryMb < best.instanceMb || (smallest.memoryMb === best.instanceMb && free < best.free)) {
      best = { host: host.id, instanceMb: smallest.memoryMb, free, estimateMs: host.announcement.createMs.warm };
    }
  }
  return (
    best && {
      kind: "place",
      host: best.host,
      rung: "warm",
      instanceMb: best.instanceMb,
      estimateMs: best.estimateMs,
      reason: "no instance of the account has room; a warm one is taken",
    }
  );
};
