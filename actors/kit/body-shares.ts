/**
 * What each account has in the store of large bodies, from what the store itself tells of its messages.
 *
 * H1  A part counts with its bytes until it is removed; then, as the mark of its removal, only in number. Both end after LIMITS.bodyLife.
 * H2  Parts that are on their way are not counted yet: how far an account can get above its share is what its nodes have on the way.
 * H3  What is not known is not refused: the bound of the whole store holds in any case.
 * H4  What is over is forgotten as news comes, also where nobody asks: most nodes store nothing of most accounts.
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
  readonly account: string;
  readonly bytes: number;
  readonly until: number;
}

interface Share {
  readonly bytes: number;
  readonly parts: number;
  readonly marks: number;
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
const NOTHING: Share = { bytes: 0, parts: 0, marks: 0 };
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
  /** Those of the accounts that have something. */
  readonly #shares = new Map<string, Share>();
  /** How many marks of each account go in a minute; the next minute comes first. */
  readonly #marks = new Map<number, Map<string, number>>();

  constructor(clock: Pick<Clock, "epoch">, most: BodyShare = MOST) {
    this.#clock = clock;
    this.#most = most;
  }

  /** What is remembered: parts, marks by minute and account, and accounts. */
  get size(): number {
    let size = this.#live.size + this.#shares.size;
    for (const marks of this.#marks.values()) size += marks.size;
    return size;
  }

  /** In the order in which they came into the store. The same part again changes nothing. */
  stored({ key, bytes, at }: StoredPart): void {
    this.#expire();
    const account = key.slice(0, key.indexOf("."));
    this.#forget(key);
    const until = at + LIMITS.bodyLife.value;
    if (bytes > 0) {
      this.#live.set(key, { account, bytes, until });
      this.#change(account, { bytes, parts: 1, marks: 0 });
      return;
    }
    const minute = Math.ceil(until / MINUTE_MS);
    let marks = this.#marks.get(minute);
    if (marks === undefined) this.#marks.set(minute, (marks = new Map()));
    marks.set(account, (marks.get(account) ?? 0) + 1);
    this.#change(account, { bytes: 0, parts: 0, marks: 1 });
  }

  /** What an account has now. */
  of(account: string): BodyShare {
    this.#expire();
    const { bytes, parts, marks } = this.#shares.get(account) ?? NOTHING;
    return { bytes, parts, messages: parts + marks };
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
      if (until > now) break;
      this.#forget(key);
    }
    for (const [minute, marks] of this.#marks) {
      if (minute * MINUTE_MS > now) break;
      this.#marks.delete(minute);
      for (const [account, count] of marks) this.#change(account, { bytes: 0, parts: 0, marks: -count });
    }
  }

  #forget(key: string): void {
    const live = this.#live.get(key);
    if (live === undefined) return;
    this.#live.delete(key);
    this.#change(live.account, { bytes: -live.bytes, parts: -1, marks: 0 });
  }

  #change(account: string, by: Share): void {
    const { bytes, parts, marks } = this.#shares.get(account) ?? NOTHING;
    const share = { bytes: bytes + by.bytes, parts: parts + by.parts, marks: marks + by.marks };
    if (share.parts + share.marks === 0) this.#shares.delete(account);
    else this.#shares.set(account, share);
  }
}
