/** The lease of a class: the port to where it is kept, and the rules of who may take it when. Pure. */
import { LIMITS } from "../../../protocol/limits.ts";
import type { FunctionClass, LeaseRecord } from "../../../protocol/vocabulary.ts";
import type { Stored } from "../../kit/ports.ts";

/**
 * Where the leases are kept; keys are classes. A record goes by itself LIMITS.leaseLife after it was written. Revisions rise with every
 * write of anybody and are never given twice. Rejections are Faults: `Conflict` when somebody else has written, anything else is no news.
 * Each answers within LIMITS.leaseRequest.
 */
export interface Lease {
  read(of: FunctionClass): Promise<Stored<LeaseRecord> | undefined>;
  /** When nobody holds it. Returns the revision. */
  create(of: FunctionClass, record: LeaseRecord): Promise<number>;
  /** When `revision` is still the newest. Returns the new one. */
  update(of: FunctionClass, record: LeaseRecord, revision: number): Promise<number>;
  /** When `revision` is still the newest. */
  delete(of: FunctionClass, revision: number): Promise<void>;
}

/** What a scheduler knows of the holder of a lease that it has just read. */
export interface HolderView {
  /** Who judges. */
  readonly node: string;
  readonly life: string;
  /** True until this life of the judge has looked at the lease once. */
  readonly isFirstLook: boolean;
  /** The holder said that it is draining, or another life of it was heard. */
  readonly hasGone: boolean;
  /** How long the holder was not heard, in ms of the judge's connected time. */
  readonly silentMs: number;
}

/** Why the lease may be taken from its holder now; undefined: it may not. */
export function whyTake(record: LeaseRecord | undefined, view: HolderView): string | undefined {
  if (record === undefined) return "nobody holds the lease";
  if (record.holder === view.node && record.life === view.life) return "the lease is this scheduler's, by a write that was not answered";
  // Later it may be that two schedulers were given one name: then it is held by somebody else.
  if (record.holder === view.node && view.isFirstLook) return "an earlier life of this scheduler held the lease";
  if (view.hasGone) return `${record.holder} is leaving, or began anew`;
  if (view.silentMs >= LIMITS.leaseTakeover.value) return `${record.holder} was silent for ${Math.round(view.silentMs)} ms`;
  return undefined;
}

/** True when a lease that was last written at `writtenAt` (monotonic, when the write was sent) may be gone. */
export const isOver = (writtenAt: number, now: number): boolean => now - writtenAt >= LIMITS.leaseLife.value;
