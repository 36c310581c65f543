/** The life of a class's manager in one scheduler: of all schedulers at most one leads, by its lease. */
import { setup } from "xstate";
import { MAX_ITERATIONS } from "../../kit/start-actor.ts";

export type ManagerEvent =
  /** The lease may be taken: nobody holds it, or its holder is gone. */
  | { readonly type: "free"; readonly reason: string }
  /** The lease was written. */
  | { readonly type: "won"; readonly reason: string }
  /** Somebody was quicker, or the broker did not answer. */
  | { readonly type: "missed"; readonly reason: string }
  /** Another holds the lease by now, or it could not be renewed for as long as it lives. */
  | { readonly type: "deposed"; readonly reason: string }
  /** A host obeys a newer leader. */
  | { readonly type: "refused"; readonly reason: string }
  /** An orderly stop begins. */
  | { readonly type: "drain"; readonly reason: string }
  /** The lease was given back, as far as the broker answered. */
  | { readonly type: "released"; readonly reason: string };

export const managerMachine = setup({ types: { events: {} as ManagerEvent } }).createMachine({
  id: "manager",
  initial: "standby",
  options: { maxIterations: MAX_ITERATIONS },
  states: {
    standby: {
      description: "looks at the lease and listens to its holder; gives no orders",
      on: { free: "acquiring", drain: "gone" },
    },
    acquiring: {
      description: "writes the lease by compare-and-set",
      on: { won: "leading", missed: "standby", drain: "leaving" },
    },
    leading: {
      description: "plans and gives orders under the epoch of its lease, and renews it",
      on: { deposed: "standby", refused: "steppingDown", drain: "leaving" },
    },
    steppingDown: {
      description: "gives the lease back and no orders any more",
      on: { released: "standby", drain: "leaving" },
    },
    leaving: { description: "gives the lease back for good", on: { released: "gone" } },
    gone: { type: "final" },
  },
});
