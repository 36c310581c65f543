/** The life of a scheduler: it learns the fleet before it places, and hands over before it goes. */
import { setup } from "xstate";

export const schedulerMachine = setup({
  types: { events: {} as { type: "loaded" } | { type: "drain"; reason?: string } | { type: "rooms.empty"; reason?: string } },
}).createMachine({
  id: "scheduler",
  initial: "learning",
  options: { maxIterations: 100 },
  states: {
    learning: { description: "reads the registry and hears the hosts; places nothing yet", on: { loaded: "keeping", drain: "gone" } },
    keeping: { description: "keeper of the functions that hash to it", on: { drain: "draining" } },
    draining: {
      description: "announced as draining; frontends choose another keeper; what waits is still placed",
      on: { "rooms.empty": "gone" },
    },
    gone: { type: "final" },
  },
});
