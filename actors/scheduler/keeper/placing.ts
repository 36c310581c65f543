/**
 * From a waiting call to the policy's question, and from its answer to the head that a host reads.
 *
 * K1  A call is sent only against room that hosts have shown; so it bounces at most when a host changed its mind.
 */
import { LIMITS } from "../../../protocol/limits.ts";
import type { CallHead } from "../../../protocol/messages/call.ts";
import type { ColdCause, FunctionClass } from "../../../protocol/vocabulary.ts";
import type { Fleet } from "../fleet.ts";
import type { PlacementRequest, Verdict } from "../placement/index.ts";
import type { KeptCall } from "./kept-call.ts";
import { orderedCode } from "./needs.ts";
import type { Tenure } from "./tenure.ts";

/** A place that the policy found. */
export type Place = Extract<Verdict, { kind: "place" }>;

/** What the policy has to know that the call does not say. */
export interface Circumstances {
  readonly fleet: Fleet;
  readonly tenure: Tenure;
  readonly now: number;
  /** Most containers of the account; undefined: as many as any account. */
  readonly accountCap: number | undefined;
  /** Some host may answer the function directly. */
  readonly isGranted: boolean;
  /** Size of an instance that has to be booted, in MB. */
  readonly instanceMb: number;
}

export function requestFor(call: KeptCall, { fleet, tenure, now, accountCap, isGranted, instanceMb }: Circumstances): PlacementRequest {
  const { head, functionKey, key } = call;
  return {
    account: head.account,
    functionKey,
    codeKey: `${functionKey}.${head.inline?.digest ?? head.version}`,
    key,
    runtime: call.needs.runtime,
    network: call.needs.network,
    memoryMb: head.memoryMb,
    runtimeWanted: head.runtimeWanted,
    functionCap: head.containers,
    accountCap: accountCap ?? LIMITS.containersPerAccount.value,
    isNew: !tenure.isSettled(functionKey),
    otherKeepers: tenure.others,
    ahead: 0,
    waitedMs: now - call.arrivedAt,
    mayQueue: isGranted,
    refusedBy: call.refusals.standing(fleet),
    evicts: false,
    instanceMb,
  };
}

/** The call's head with its place in it, and with what the host has to load for it. */
export function placedHead(
  call: KeptCall,
  place: Place,
  now: number,
  functionClass: FunctionClass,
  coldCause: ColdCause | undefined,
): CallHead {
  const code = place.rung === "hot" ? undefined : orderedCode(call.needs);
  return {
    ...call.head,
    ...(code !== undefined && { code }),
    attempt: call.attempt,
    class: functionClass,
    waitMs: Math.max(0, call.waitUntil - now),
    place: {
      rung: place.rung,
      by: "keeper",
      reason: place.reason,
      ...(place.queue && { queue: true }),
      ...(place.instance !== undefined && { instance: place.instance }),
      ...(place.instanceMb !== undefined && { instanceMb: place.instanceMb }),
      ...(coldCause !== undefined && { coldCause }),
    },
  };
}
