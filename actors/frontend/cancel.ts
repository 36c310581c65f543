/**
 * Callers end their own calls: `pilot.cancel.<account>`, with the subject on which the caller waits for its reply as the body.
 *
 * N1  The reply subject is the capability: nobody but its caller knows it. Whose call it is, is not asked.
 * N2  Each cancel is asked of all schedulers and hosts, so few are under way at a time, and few are let in per second.
 */
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { cancelCall } from "../../protocol/messages/fleet.ts";
import { isName } from "../../protocol/names.ts";
import { FRONTENDS, isAnswerable, SUBJECT } from "../../protocol/subjects.ts";
import type { Bus, Message, Subscription } from "../kit/bus.ts";
import { failureBody, failureHeaders } from "../kit/failure.ts";
import type { Clock } from "../kit/ports.ts";

export interface CancelPorts {
  /** Where callers are heard and answered, and where schedulers are asked. */
  readonly bus: Bus;
  readonly control: Bus;
  readonly clock: Clock;
  count(counter: string): void;
}

/** Answers `{"cancelled": true}` when the call was found and ended, `false` when nobody has it; else an error as for a call. */
export function serveCancels({ bus, control, clock, count }: CancelPorts): Subscription {
  let open = 0;
  let left = LIMITS.cancelRate.value;
  let filledAt = clock.now();

  const admit = (): void => {
    const now = clock.now();
    left = Math.min(LIMITS.cancelRate.value, left + ((now - filledAt) / 1_000) * LIMITS.cancelRate.value);
    filledAt = now;
    if (left >= 1 && open < LIMITS.cancelsOpen.value) {
      left -= 1;
      return;
    }
    count("cancelsThrottled");
    throw new Fault("Throttled", "too many calls are being cancelled", { retryAfterMs: 100 });
  };

  const onCancel = async (message: Message): Promise<boolean> => {
    const [, , account = ""] = message.subject.split(".");
    if (!isName(account)) throw new Fault("BadName", "the account in the subject is not a name");
    const reply = replyIn(message.body);
    admit();
    open += 1;
    try {
      return (await control.ask(cancelCall, [], { reply })).cancelled;
    } finally {
      open -= 1;
    }
  };

  return bus.listen(SUBJECT.cancelAll, { queue: FRONTENDS }, (message) => {
    if (!isAnswerable(message.reply, LIMITS.replySubject.value)) return count("dropped.badReply");
    onCancel(message)
      .then(
        (cancelled) => {
          count(cancelled ? "cancelled" : "cancelledNothing");
          bus.send(message.reply, new TextEncoder().encode(JSON.stringify({ cancelled })));
        },
        (thrown: unknown) => {
          const fault = Fault.from(thrown);
          bus.send(message.reply, failureBody(fault), undefined, failureHeaders(fault));
        },
      )
      // A connection that is closing takes nothing more.
      .catch(() => count("dropped.unsent"));
  });
}

/** The subject in the body. Throws Fault BadRequest when no call could be answered there. */
function replyIn(body: Uint8Array): string {
  const text = body.length <= LIMITS.replySubject.value ? new TextDecoder().decode(body) : "";
  if (!isAnswerable(text, LIMITS.replySubject.value))
    throw new Fault("BadRequest", "the body must be the subject on which the caller waits for the reply to its call");
  return text;
}
