/**
 * The one way an xstate machine is started: with its errors observed, since an unobserved one is thrown from a
 * timer and ends the process.
 */
import { type Actor, type AnyStateMachine, createActor, type InputFrom } from "xstate";
import type { Watch } from "./transitions.ts";

/** Turns of eventless transitions after which a machine is broken rather than busy. */
export const MAX_ITERATIONS = 100;

/**
 * Starts a root actor. `onError` hears what an action or guard threw; the actor is deaf from then on. `watch` hears its
 * transitions: `transitions.watch(id)` of its node, so that `pilot inspect` shows it.
 */
export function startActor<M extends AnyStateMachine>(
  machine: M,
  input: InputFrom<M>,
  onError: (error: unknown) => void,
  watch?: Watch,
): Actor<M> {
  const actor = createActor(machine, { input, ...(watch !== undefined && { inspect: watch.seen }) } as never);
  actor.subscribe({
    error(error) {
      watch?.failed(error);
      onError(error);
    },
  });
  actor.start();
  return actor as Actor<M>;
}
