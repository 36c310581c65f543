/** One call that a keeper answers for, from its arrival until it is done or its owner has it back. */
import type { CallHead } from "../../../protocol/messages/call.ts";
import { slotKey } from "../../../protocol/names.ts";
import type { Needs } from "./needs.ts";
import { Refusals } from "./refusals.ts";

/** The order by which a call went to a host. */
export interface Order {
  readonly host: string;
  readonly subject: string;
  readonly head: CallHead;
  /** Monotonic: since when the host looks absent; undefined while it does not. */
  absentSince: number | undefined;
  /** Monotonic: when the host is asked about it, unless something is heard before. */
  probeAt: number;
}

/** Which life of which host took a call. */
export interface TakenBy {
  readonly host: string;
  readonly epoch: string;
}

export interface KeptCall {
  /** Of this keeper; a host reports under it. */
  readonly number: number;
  readonly head: CallHead;
  /** Undefined once a host has taken it. */
  body: Uint8Array | undefined;
  /** The caller's inbox. */
  readonly reply: string;
  /** The owner's whole back subject. */
  readonly back: string;
  readonly functionKey: string;
  /** Containers with this key can run it. */
  readonly key: string;
  /** The slot key, and what was demanded of the runtime. */
  readonly roomKey: string;
  readonly needs: Needs;
  readonly arrivedAt: number;
  readonly waitUntil: number;
  attempt: number;
  /** Of the back subject: what comes back for an older one is of no concern. */
  hop: number;
  readonly refusals: Refusals;
  /** Why it waits, for the message if its time runs out. */
  reason: string;
  order: Order | undefined;
  /** Another keeper may have it: it is not placed again from here. */
  isDoubtful: boolean;
  taken: TakenBy | undefined;
}

/** What of a call its head and body do not say. */
export interface Arrival {
  readonly number: number;
  readonly back: string;
  readonly reply: string;
  readonly needs: Needs;
  /** Monotonic. */
  readonly now: number;
}

/** Views into a large read buffer are copied when they wait, unless the copy would cost more than it saves. */
const COPY_BELOW = 16_384;

/** A call as it arrives. */
export function keptCall(head: CallHead, body: Uint8Array, arrival: Arrival): KeptCall {
  const { account, function: name, version, inline, memoryMb, runtimeWanted } = head;
  const key = slotKey(account, name, inline?.digest ?? version, memoryMb);
  const { number, back, reply, needs, now } = arrival;
  return {
    number,
    head,
    body: body.length < COPY_BELOW ? body.slice() : body,
    reply,
    back,
    functionKey: `${account}.${name}`,
    key,
    roomKey: runtimeWanted === undefined ? key : `${key} ${runtimeWanted}`,
    needs,
    arrivedAt: now,
    waitUntil: now + head.waitMs,
    attempt: head.attempt,
    hop: 0,
    refusals: new Refusals(),
    reason: "it has just arrived",
    order: undefined,
    isDoubtful: false,
    taken: undefined,
  };
}
