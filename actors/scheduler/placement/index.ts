/**
 * The placement policy: from a call and the fleet to a place, a wait with its reason, or a refusal. Pure; production
 * and simulation run exactly this. The ladder is tried from the cheapest rung down.
 *
 * P1  A function's instance is taken or booted one at a time (single flight): others wait and become its containers.
 * P2  The cap of a function is never overshot: near it, a new keeper waits until it knows what was ordered before it. That
 *     of an account is not by its keeper's own orders; keepers of several of its functions order one at a time near it.
 * P4  Calls wait at their keeper, but for functions that hosts answer directly and for short ones (0011).
 * P3  With busy containers at hand, whichever is sooner: waiting for one of them or making another (F025).
 */
import { LIMITS } from "../../../protocol/limits.ts";
import type { Fleet } from "../fleet.ts";
import { cold } from "./cold.ts";
import { hot, queued } from "./hot.ts";
import { cached, own } from "./own.ts";
import type { PlacementRequest, RungPolicy, Verdict } from "./request.ts";
import { warm } from "./warm.ts";

export type { PlacementRequest, Verdict } from "./request.ts";

/** A forecast is not given up for less than this. */
const OVERDUE_MS = 100;
/** Where a new container takes longer than a call may wait, the calls behind would all give up before there is one more. */
const PATIENCE_MS = LIMITS.waitForPlace.value / 2;

/** Ways to get a container on an instance that the account already has, then ways to get an instance. */
const ON_OWN_INSTANCE: readonly RungPolicy[] = [cached, own];
const NEW_INSTANCE: readonly RungPolicy[] = [warm, cold];

export function place(request: PlacementRequest, fleet: Fleet): Verdict {
  const impossible = unavailable(request, fleet);
  if (impossible !== undefined) return impossible;
  const idle = hot(request, fleet);
  if (idle !== undefined) return idle;
  const created = placeNew(request, fleet);
  const verdict = created.kind === "place" ? (sooner(request, fleet, created.estimateMs) ?? created) : created;
  if (verdict.kind !== "wait" || !(request.mayQueue || bridges(request, fleet))) return verdict;
  const joined = queued(request, fleet);
  return joined?.kind === "place" ? { ...joined, reason: `${verdict.reason}; ${joined.reason}` } : verdict;
}

/**
 * True while what waits at the hosts is less than they work off before they are heard again: short calls that were only sent
 * against containers known to be idle would leave those idle most of the time.
 */
function bridges(request: PlacementRequest, fleet: Fleet): boolean {
  // Below a cap of the function's own, a host may not make another container for a call that is stuck there: only the keeper knows all of them.
  const capped = request.functionCap < LIMITS.containersPerFunction.value;
  if (capped && fleet.containers({ functionKey: request.functionKey }) < request.functionCap) return false;
  const mean = fleet.meanRunMs(request.functionKey);
  let containers = 0;
  let waiting = 0;
  for (const host of fleet.taking()) {
    const { idle, busy, loading } = fleet.slots(host, request.key);
    containers += idle + busy + loading;
    // Orders on their way count as busy containers; more of them than there are will queue.
    waiting += Math.max(0, -idle) + (host.functions.get(request.functionKey)?.queued ?? 0);
  }
  return mean > 0 && containers > 0 && (mean * (waiting + 1)) / containers <= LIMITS.announceEvery.value;
}

/** The ladder for one more container, whether or not one is idle. */
export function placeNew(request: PlacementRequest, fleet: Fleet): Verdict {
  return (
    unavailable(request, fleet) ??
    atCap(request, fleet) ??
    first(ON_OWN_INSTANCE, request, fleet) ??
    inFlight(request, fleet) ??
    first(NEW_INSTANCE, request, fleet) ??
    // Only now: something that is idle has to go.
    first([...ON_OWN_INSTANCE, ...NEW_INSTANCE], { ...request, evicts: true }, fleet) ?? { kind: "wait", reason: "no host has room" }
  );
}

function first(ladder: readonly RungPolicy[], request: PlacementRequest, fleet: Fleet): Verdict | undefined {
  for (const rung of ladder) {
    const verdict = rung(request, fleet);
    if (verdict !== undefined) return verdict;
  }
  return undefined;
}

/** What no waiting would cure: a runtime that no host offers, an amount that no host has. */
function unavailable(request: PlacementRequest, fleet: Fleet): Verdict | undefined {
  const hosts = fleet.taking();
  if (hosts.length === 0) return { kind: "wait", reason: "no host is there" };
  const able = request.network ? hosts.filter((host) => host.announcement.network) : hosts;
  if (able.length === 0) {
    return {
      kind: "refuse",
      error: "ConfigurationUnavailable",
      reason: "no host can give a function a network; install slirp4netns and iproute2 on one and start it again",
    };
  }
  let largest = -1;
  for (const { announcement } of able)
    if (offers(announcement.runtimes[request.runtime], request)) largest = Math.max(largest, announcement.memoryMb);
  if (largest < 0) {
    const wanted = request.runtimeWanted ?? request.runtime;
    const has = [...new Set(able.flatMap((host) => Object.values(host.announcement.runtimes)))].join(", ");
    return { kind: "refuse", error: "ConfigurationUnavailable", reason: `no host offers ${wanted}; there is ${has || "no runtime"}` };
  }
  if (largest < request.memoryMb) {
    return {
      kind: "refuse",
      error: "ConfigurationUnavailable",
      reason: `no host has ${request.memoryMb} MB for one container; the largest has ${largest}`,
    };
  }
  return undefined;
}

/** "node 20.20.2" offers node, node@20, node@20.20 and node@20.20.2. */
function offers(version: string | undefined, request: Pick<PlacementRequest, "runtime" | "runtimeWanted">): boolean {
  if (version === undefined) return false;
  if (request.runtimeWanted === undefined) return true;
  const [name, wanted] = request.runtimeWanted.split("@");
  if (name !== request.runtime) return false;
  const has = version.split(" ")[1] ?? "";
  return wanted === undefined || has === wanted || has.startsWith(`${wanted}.`);
}

/** P2. */
function atCap(request: PlacementRequest, fleet: Fleet): Verdict | undefined {
  const { functionKey, functionCap, account, accountCap, isNew, otherKeepers } = request;
  const ofFunction = fleet.containers({ functionKey });
  const ofAccount = fleet.containers({ account });
  if (ofFunction >= functionCap) return { kind: "wait", reason: `the function is at its cap of ${functionCap} containers` };
  if (ofAccount >= accountCap) return { kind: "wait", reason: `the account is at its cap of ${accountCap} containers` };
  const orderedOfFunction = fleet.ordered({ functionKey });
  const orderedOfAccount = fleet.ordered({ account });
  const { value: most } = LIMITS.functionOrders;
  const { value: mostOfAccount } = LIMITS.accountOrders;
  if (isNew && (ofFunction + most >= functionCap || ofAccount + mostOfAccount >= accountCap))
    return { kind: "wait", reason: "its keeper is new, and near a cap waits until all containers ordered before have shown themselves" };
  if (orderedOfFunction >= most || orderedOfAccount >= mostOfAccount)
    return { kind: "wait", reason: "as many containers are on order as may be at a time" };
  if (orderedOfAccount > 0 && otherKeepers > 0 && ofAccount + otherKeepers * mostOfAccount >= accountCap)
    return { kind: "wait", reason: "near the account's cap containers are ordered one at a time" };
  return undefined;
}

/** P1: an instance for this function is on its way; this call becomes one of its containers. */
function inFlight(request: PlacementRequest, fleet: Fleet): Verdict | undefined {
  if (fleet.ordersInstance(request.functionKey)) return { kind: "wait", reason: "an instance for the function is being taken" };
  for (const [instance, host] of fleet.owned(request.account)) {
    if (
      instance.state !== "booting" ||
      instance.runtime !== request.runtime ||
      instance.network !== request.network ||
      host.announcement.draining
    )
      continue;
    return { kind: "wait", reason: `instance ${instance.id} is booting for the account` };
  }
  return undefined;
}

/**
 * P3: waiting, when a busy container, or one that is being made, will be free before a new one could be there. The forecast is a mean,
 * and a run may be far longer: a call that has waited as long as a container takes, or half of what calls may wait, has been promised
 * wrongly, and waits no more.
 */
function sooner(request: PlacementRequest, fleet: Fleet, createMs: number): Verdict | undefined {
  const mean = fleet.meanRunMs(request.functionKey);
  if (mean === 0 || request.waitedMs > Math.max(Math.min(createMs, PATIENCE_MS), OVERDUE_MS)) return undefined;
  let busy = 0;
  let ahead = request.ahead;
  for (const host of fleet.withKey(request.key)) {
    if (host.announcement.draining) continue;
    const slots = fleet.slots(host, request.key);
    busy += slots.busy + slots.loading;
    ahead += host.functions.get(request.functionKey)?.queued ?? 0;
  }
  if (busy === 0) return undefined;
  const waitMs = (mean * (ahead + 1)) / busy;
  if (waitMs > createMs) return undefined;
  return { kind: "wait", reason: `a busy container is expected in ${waitMs.toFixed(1)} ms, a new one in ${createMs.toFixed(1)} ms` };
}
