/**
 * What this host alone can end: direct calls of which nobody else knows. It does so also once others have declared it lost, since
 * they have spoken for all that they knew of, and not for these.
 */
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import type { Call } from "./call.ts";
import type { Container } from "./container.ts";
import type { Replies } from "./replies.ts";
import type { Slots } from "./slots.ts";

/** How old the call is cannot be known, so it is not run. */
export const piledUp = (): Fault =>
  new Fault("Unavailable", "the host stood still while the call lay in its queue; the call did not run", {
    retryAfterMs: LIMITS.pileUp.value,
  });

/** True for a direct call of which nobody was told: others have not answered it. */
export const isUnspoken = (call: Call): boolean => call.grant !== undefined && !call.toldLong;

/** Direct calls that this host handed to that keeper, and that came back to run here: with the keeper gone nobody else knows of them. */
export function orphansOf(keeper: string, host: string, slots: Slots): Call[] {
  const isOrphan = ({ head, placer }: Call): boolean =>
    head?.owner === host && head.chain === undefined && placer !== undefined && placer.node === keeper;
  const found: Call[] = [];
  for (const slot of slots.all()) {
    found.push(...[...slot.waiting()].filter(isOrphan));
    for (const container of slot.busy) found.push(...begunIn(container).filter(isOrphan));
  }
  return found;
}

const begunIn = ({ call, ahead }: Container): Call[] => [...(call === undefined ? [] : [call]), ...ahead.map((one) => one.call)];

/** Ends the direct calls in hand that no keeper was told of; those that waited are taken out. */
export function endUnspoken(slots: Slots, replies: Replies): void {
  for (const slot of slots.all()) {
    for (const { reply } of slot.takeOut(isUnspoken)) replies.alone(reply, piledUp());
    for (const container of slot.busy) {
      for (const begun of begunIn(container)) {
        if (!isUnspoken(begun)) continue;
        replies.alone(begun.reply, new Fault("InstanceLost", "the host stood still while the call ran, and ends"));
        // Its result, should it still come, would be a second answer.
        begun.toldLong = true;
      }
    }
  }
}
