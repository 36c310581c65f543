/**
 * What each account has in the store of large bodies, from what the store itself tells of its messages.
 *
 * H1  A part counts with its bytes until it is removed; then, as the mark of its removal, only in number. Both end after LIMITS.bodyLife.
 * H2  Parts that are on their way are not counted yet: how far an account can get above its share is what its nodes have on the way.
 * H3  What is not known is not refused: the bound of the whole store holds in any case.
 */
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import type { Clock } from "./ports.ts";

/** One message of the store: a part, or with no bytes the mark that one was removed. */
export interface StoredPart {
  /** `<account>.<id>.<part>`. */
  readonly key: string;
  readonly bytes: number;
  /** Ms since 1970. */
  readonly at: number;
}

interface Live {
  readonly share: Share;
  readonly bytes: number;
  readonly until: number;
}

interface Share {
  bytes: number;
  parts: number;
  /** Marks by the minute in which they go. */
  readonly marks: Map<number, number>;
}

/** What one account may have. */
export interface BodyShare {
  readonly bytes: number;
  /** Parts that are there. */
  readonly parts: number;
  /** Those, and marks of removed ones. */
  readonly messages: number;
}

const MINUTE_MS = 60_000;
const MOST: BodyShare = {
  bytes: LIMITS.accountBodies.value,
  parts: LIMITS.accountBodyPartsHeld.value,
  messages: LIMITS.accountBodyParts.value,
};

export class BodyShares {
  readonly #clock: Pick<Clock, "epoch">;
  readonly #most: BodyShare;
  /** The oldest come first. */
  readonly #live = new Map<string, Live>();
  readonly #shares = new Map<string, Share>();

  constructor(clock: Pick<Clock, "epoch">, most: BodyShare = MOST) {
    this.#clock = clock;
    this.#most = most;
  }

  /** In the order in which they came into the store. The same part again changes nothing. */
  stored({ key, bytes, at }: StoredPart): void {
    const account = key.slice(0, key.indexOf("."));
    let share = this.#shares.get(account);
    if (share === undefined) this.#shares.set(account, (share = { bytes: 0, parts: 0, marks: new Map() }));
    this.#forget(key);
    const until = at + LIMITS.bodyLife.value;
    if (bytes > 0) {
      this.#live.set(key, { share, bytes, until });
      share.bytes += bytes;
      share.parts += 1;
      return;
    }
    const minute = Math.ceil(until / MINUTE_MS);
    share.marks.set(minute, (share.marks.get(minute) ?? 0) + 1);
  }

  /** What an account has now. */
  of(account: string): BodyShare {
    this.#expire();
    const share = this.#shares.get(account);
    if (share === undefined) return { bytes: 0, parts: 0, messages: 0 };
    let messages = share.parts;
    for (const [minute, count] of share.marks) {
      if (minute * MINUTE_MS <= this.#clock.epoch()) share.marks.delete(minute);
      else messages += count;
    }
    if (messages === 0) this.#shares.delete(account);
    return { bytes: share.bytes, parts: share.parts, messages };
  }

  /** Why a part may not be stored; undefined: it may, or is there already. */
  refusal(key: string, bytes: number): Fault | undefined {
    const account = key.slice(0, key.indexOf("."));
    const has = this.of(account);
    if (this.#live.has(key)) return undefined;
    const refused = (limit: "accountBodies" | "accountBodyParts" | "accountBodyPartsHeld", text: string): Fault =>
      new Fault("Throttled", `account ${account} has ${text}, as much as one account may; they go when they are used, or after an hour`, {
        retryAfterMs: 1_000,
        limit,
      });
    const most = this.#most;
    if (has.bytes + bytes > most.bytes) return refused("accountBodies", `${has.bytes} bytes of ${most.bytes} in the store of large bodies`);
    if (has.parts >= most.parts) return refused("accountBodyPartsHeld", `${has.parts} parts in the store of large bodies`);
    if (has.messages < most.messages) return undefined;
    return refused("accountBodyParts", `${has.messages} parts, used ones counted, in the store of large bodies`);
  }

  #expire(): void {
    const now = this.#clock.epoch();
    for (const [key, { until }] of this.#live) {
      if (until > now) return;
      this.#forget(key);
    }
  }

  #forget(key: string): void {
    const live = this.#live.get(key);
    if (live === undefined) return;
    this.#live.delete(key);
    live.share.bytes -= live.bytes;
    live.share.parts -= 1;
  }
}
