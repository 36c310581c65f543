/** The life of a frontend: it answers the desk until it is told to drain. */
import { setup } from "xstate";

export const frontendMachine = setup({
  types: { events: {} as { type: "loaded" } | { type: "drain"; reason?: string } | { type: "calls.ended"; reason?: string } },
}).createMachine({
  id: "frontend",
  initial: "loading",
  options: { maxIterations: 100 },
  states: {
    loading: { description: "reads the registry; answers nothing yet", on: { loaded: "serving", drain: "gone" } },
    serving: { description: "member of the desk", on: { drain: "draining" } },
    draining: { description: "left the desk; speaks for the calls it still holds", on: { "calls.ended": "gone" } },
    gone: { type: "final" },
  },
});
