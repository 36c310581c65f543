/**
 * The life of one instance. It is somebody's at most once: nothing leads from an account back to warm (F018).
 *
 *   booting → warm → active → draining → gone
 */
import { assign, setup } from "xstate";
import { MAX_ITERATIONS } from "../kit/start-actor.ts";

export type InstanceState = "booting" | "warm" | "active" | "draining" | "gone";

export type InstanceEvent =
  /** Its first container is booted. */
  | { readonly type: "booted"; readonly reason?: string }
  /** It belongs to that account from now on. Legal once, while warm; what is booted for an account is its own from the beginning. */
  | { readonly type: "allocated"; readonly account: string; readonly reason?: string }
  /** It takes nothing new and is being destroyed. */
  | { readonly type: "drained"; readonly reason?: string }
  /** Nothing is left of it. */
  | { readonly type: "removed" };

export const instanceMachine = setup({
  types: {
    context: {} as { account: string | null },
    events: {} as InstanceEvent,
    input: {} as { account: string | null },
  },
  actions: {
    keepOwner: assign({ account: ({ context, event }) => (event.type === "allocated" ? event.account : context.account) }),
  },
  guards: {
    isOwned: ({ context }) => context.account !== null,
  },
}).createMachine({
  id: "instance",
  context: ({ input }) => ({ account: input.account }),
  initial: "booting",
  options: { maxIterations: MAX_ITERATIONS },
  states: {
    booting: {
      on: {
        booted: [{ guard: "isOwned", target: "active" }, { target: "warm" }],
        drained: "draining",
        removed: "gone",
      },
    },
    warm: {
      on: {
        allocated: { target: "active", actions: "keepOwner" },
        drained: "draining",
        removed: "gone",
      },
    },
    active: { on: { drained: "draining", removed: "gone" } },
    draining: { on: { removed: "gone" } },
    gone: { type: "final" },
  },
});
