/**
 * The one way an xstate machine is started: with its errors observed, since an unobserved one is thrown from a
 * timer and ends the process.
 */
import { type Actor, type AnyStateMachine, createActor, type InputFrom } from "xstate";

/** Turns of eventless transitions after which a machine is broken rather than busy. */
export const MAX_ITERATIONS = 100;

/** Starts a root actor. `onError` hears what an action or guard threw; the actor is deaf from then on. */
export function startActor<M extends AnyStateMachine>(machine: M, input: InputFrom<M>, onError: (error: unknown) => void): Actor<M> {
  const actor = createActor(machine, { input } as never);
  actor.subscribe({ error: onError });
  actor.start();
  return actor as Actor<M>;
}
