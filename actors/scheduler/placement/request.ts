/** What the placement policy is asked, and what it may answer. */
import type { ErrorName } from "../../../protocol/errors.ts";
import type { RuntimeName } from "../../../protocol/runtimes.ts";
import type { Rung } from "../../../protocol/vocabulary.ts";
import type { Fleet } from "../fleet.ts";

export interface PlacementRequest {
  readonly account: string;
  /** account.function, account.function.version, and the slot key. */
  readonly functionKey: string;
  readonly codeKey: string;
  readonly key: string;
  readonly runtime: RuntimeName;
  readonly network: boolean;
  readonly memoryMb: number;
  /** What the caller demands of the runtime, for example "node@20". */
  readonly runtimeWanted: string | undefined;
  /** Most containers of the function, and of the account. */
  readonly functionCap: number;
  readonly accountCap: number;
  /** The keeper is new: containers of the function may have been ordered before it that no host has shown yet. */
  readonly isNew: boolean;
  /** Keepers beside this one, each of which may be ordering a container of the same account. */
  readonly otherKeepers: number;
  /** Calls of the same function that wait before this one. */
  readonly ahead: number;
  /** How long this call has waited, in ms: past what a new container takes, no busy one is waited for any longer. */
  readonly waitedMs: number;
  /**
   * Hosts answer the function directly, so that their queues are where its calls wait: a call that finds no better
   * place joins the shortest of them. Else it waits in the keeper's room, which is drawn fairly.
   */
  readonly mayQueue: boolean;
  /** `host:rung` that refused this call and have not announced since. */
  readonly refusedBy: ReadonlySet<string>;
  /** True: idle containers of other code may be evicted for it, since nothing is free otherwise. */
  readonly evicts: boolean;
  /** Size in MB of an instance that has to be booted, unless the container needs more. */
  readonly instanceMb: number;
}

export type Verdict =
  | {
      readonly kind: "place";
      readonly host: string;
      readonly rung: Rung;
      readonly instance?: string;
      readonly instanceMb?: number;
      readonly estimateMs: number;
      readonly reason: string;
      readonly queue?: true;
    }
  | { readonly kind: "wait"; readonly reason: string }
  | { readonly kind: "refuse"; readonly error: ErrorName; readonly reason: string };

/** One rung: a place, or undefined when it has none. */
export type RungPolicy = (request: PlacementRequest, fleet: Fleet) => Verdict | undefined;
