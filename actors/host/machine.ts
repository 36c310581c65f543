/** The life of a host: joining → ready → draining → gone; and ready ⇄ cordoned. */
import { setup } from "xstate";
import { MAX_ITERATIONS } from "../kit/start-actor.ts";

export type HostEvent =
  /** Its subscriptions stand and it has announced itself. */
  | { readonly type: "joined" }
  /** It is to take nothing new from now on, or again. */
  | { readonly type: "cordon"; readonly reason?: string }
  | { readonly type: "uncordon"; readonly reason?: string }
  /** An orderly stop begins: nothing new is taken. */
  | { readonly type: "drain"; readonly reason?: string }
  /** Every instance is destroyed. */
  | { readonly type: "closed" };

export const hostMachine = setup({ types: { events: {} as HostEvent } }).createMachine({
  id: "host",
  initial: "joining",
  options: { maxIterations: MAX_ITERATIONS },
  states: {
    joining: { on: { joined: "ready", drain: "draining", closed: "gone" } },
    ready: { on: { cordon: "cordoned", drain: "draining", closed: "gone" } },
    cordoned: {
      description: "takes nothing new; what runs and what is warm stays",
      on: { uncordon: "ready", drain: "draining", closed: "gone" },
    },
    draining: { on: { closed: "gone" } },
    gone: { type: "final" },
  },
});
