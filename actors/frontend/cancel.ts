/**
 * Callers end their own calls: `pilot.cancel.<account>`, with the subject on which the caller waits for its reply as the body.
 *
 * N1  The reply subject is the capability: nobody but its caller knows it. Whose call it is, is not asked.
 * N2  Each cancel is asked of all schedulers and hosts, so few are under way at a time, and few are let in per second: for one account
 *     half of what there is. Names that are no account's count together as one, so that making names up gives nobody more.
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
  isAccount(name: string): boolean;
  count(counter: string): void;
}

/** Answers `{"cancelled": true}` when the call was found and ended, `false` when nobody has it; else an error as for a call. */
export function serveCancels({ bus, control, clock, isAccount, count }: CancelPorts): Subscription {
  const all = new CancelRoom(clock, 1);
  /** Of accounts that had some lately. */
  const rooms = new Map<string, CancelRoom>();

  /** Takes a place for one cancel; gives how to leave it. Throws Fault Throttled. */
  const admit = (account: string): (() => void) => {
    const name = isAccount(account) ? account : "";
    const own = rooms.get(name) ?? new CancelRoom(clock, 1 / 2);
    const hit = all.full() ?? own.full();
    if (hit !== undefined) {
      count("cancelsThrottled");
      count(`limit.${hit}`);
      throw new Fault("Throttled", "too many calls are being cancelled", { retryAfterMs: 100, limit: hit });
    }
    rooms.set(name, own);
    all.enter();
    own.enter();
    return () => {
      all.leave();
      own.leave();
      for (const [known, room] of rooms) if (room.isFresh()) rooms.delete(known);
    };
  };

  const onCancel = async (message: Message): Promise<boolean> => {
    const [, , account = ""] = message.subject.split(".");
    if (!isName(account)) throw new Fault("BadName", "the account in the subject is not a name");
    const reply = replyIn(message.body);
    const leave = admit(account);
    try {
      return (await control.ask(cancelCall, [], { reply })).cancelled;
    } finally {
      leave();
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

/** A share of what a frontend cancels: per second, and at a time. */
class CancelRoom {
  readonly #clock: Clock;
  readonly #rate: number;
  readonly #most: number;
  #left: number;
  #filledAt: number;
  #open = 0;

  constructor(clock: Clock, share: number) {
    this.#clock = clock;
    this.#rate = LIMITS.cancelRate.value * share;
    this.#most = LIMITS.cancelsOpen.value * share;
    this.#left = this.#rate;
    this.#filledAt = clock.now();
  }

  /** The limit that keeps one more out, if one does. */
  full(): "cancelRate" | "cancelsOpen" | undefined {
    this.#fill();
    if (this.#open >= this.#most) return "cancelsOpen";
    return this.#left < 1 ? "cancelRate" : undefined;
  }

  /** Legal when it is not full. */
  enter(): void {
    this.#left -= 1;
    this.#open += 1;
  }

  leave(): void {
    this.#open -= 1;
  }

  /** As good as new: nothing has to be remembered of it. */
  isFresh(): boolean {
    this.#fill();
    return this.#open === 0 && this.#left === this.#rate;
  }

  #fill(): void {
    const now = this.#clock.now();
    this.#left = Math.min(this.#rate, this.#left + ((now - this.#filledAt) / 1_000) * this.#rate);
    this.#filledAt = now;
  }
}

/** The subject in the body. Throws Fault BadRequest when no call could be answered there. */
function replyIn(body: Uint8Array): string {
  const text = body.length <= LIMITS.replySubject.value ? new TextDecoder().decode(body) : "";
  if (!isAnswerable(text, LIMITS.replySubject.value))
    throw new Fault("BadRequest", "the body must be the subject on which the caller waits for the reply to its call");
  return text;
}
