/**
 * Calls of the functions that run here for idle containers that are here too: the shortest way there is. No keeper is asked, for
 * nothing is made and no cap is touched; and nobody else can have the call, since only its host places it.
 */
import type { CallHead } from "../../protocol/messages/call.ts";
import { slotKey } from "../../protocol/names.ts";
import type { Clock } from "../kit/ports.ts";
import { Call } from "./call.ts";
import type { CallStamp } from "./call-stamp.ts";
import type { OwnHead } from "./owned-call.ts";
import type { Runner } from "./runner.ts";
import type { Slots } from "./slots.ts";

export interface NearPorts {
  readonly host: string;
  readonly epoch: string;
  readonly clock: Clock;
  readonly stamp: CallStamp;
  readonly slots: Slots;
  readonly runner: Runner;
  isTaking(): boolean;
}

const PLACE = { rung: "hot", by: "frontend", reason: "an idle container is where its caller runs" } as const;

/** Runs the call here if a container is idle; false: none is, and nothing has changed. `number` is one of this host's. */
export function runNear(ports: NearPorts, own: OwnHead, number: number, body: Uint8Array, reply: string): boolean {
  const { host, epoch, clock, stamp, slots, runner } = ports;
  const slot = slots.find(slotKey(own.account, own.function, own.inline?.digest ?? own.version, own.memoryMb));
  if (slot === undefined || own.runtimeWanted !== undefined || !ports.isTaking()) return false;
  const container = slot.idle.pop();
  if (container === undefined) return false;
  const head: CallHead = { ...own, owner: host, ownerEpoch: epoch, number, place: PLACE };
  const now = clock.now();
  const call = new Call({
    slot,
    reply,
    body,
    head,
    // Nobody has to be told: the owner is this host.
    placer: undefined,
    grant: undefined,
    arrivedAt: now,
    receivedAt: head.receivedAt,
    waitUntil: now + head.waitMs,
    timeoutMs: head.timeoutMs,
    trace: head.trace,
    stamp,
  });
  call.traceparent = head.traceparent;
  runner.run(container, call);
  return true;
}
