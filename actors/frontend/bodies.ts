/**
 * Parts of large bodies, stored and read for callers, who have no rights of their own in the store.
 *
 * P1  Everything in a request is hostile: it is judged before the store hears of it.
 * P2  LIMITS.bodyParts are under work at a time, half of them for one account at most; one more is Throttled.
 */
import { parseBodySubject } from "../../protocol/bodies.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import type { AccountRecord } from "../../protocol/vocabulary.ts";
import type { PartStore } from "../kit/body-store.ts";
import type { Bus, Message } from "../kit/bus.ts";

export interface BodyPartsPorts {
  readonly bus: Bus;
  readonly store: PartStore;
  account(name: string): AccountRecord | undefined;
  /** The caller's reply subject, or undefined when there is none that may be answered. */
  answerable(message: Message): string | undefined;
  fail(reply: string, thrown: unknown): void;
  count(counter: string): void;
}

const NOTHING = new Uint8Array(0);

export class BodyParts {
  readonly #ports: BodyPartsPorts;
  readonly #byAccount = new Map<string, number>();
  #size = 0;

  constructor(ports: BodyPartsPorts) {
    this.#ports = ports;
  }

  /** Under work. */
  get size(): number {
    return this.#size;
  }

  /** A request on `pilot.body.>`. */
  arrived(message: Message): void {
    const { bus, fail } = this.#ports;
    const reply = this.#ports.answerable(message);
    if (reply === undefined) return;
    try {
      this.#work(message)
        .then(
          (bytes) => bus.send(reply, bytes),
          (thrown: unknown) => fail(reply, thrown),
        )
        // A connection that is closing takes nothing more.
        .catch(() => this.#ports.count("dropped.unsent"));
    } catch (thrown) {
      fail(reply, thrown);
    }
  }

  /** Throws what can be said without the store. */
  #work({ subject, body }: Message): Promise<Uint8Array> {
    const target = parseBodySubject(subject);
    if (typeof target === "string") throw new Fault("BadName", target);
    const { account: name, verb, id, part } = target;
    const most = LIMITS.bodyPart.value;
    if (verb === "put" && (body.length === 0 || body.length > most)) {
      const text = `a part of a body has 1 to ${most} bytes, not ${body.length}`;
      throw body.length === 0 ? new Fault("BadRequest", text) : new Fault("PayloadTooLarge", text, { limit: "bodyPart" });
    }
    const account = this.#ports.account(name);
    if (account === undefined) throw new Fault("NotFound", `there is no account ${name}`);
    if (!account.active) throw new Fault("NotAllowed", `account ${name} is not active`);
    const done = this.#begin(name);
    const { store } = this.#ports;
    // Kept beyond this message.
    const kept = verb === "put" ? body.slice() : NOTHING;
    const act = (): Promise<Uint8Array | undefined> => {
      if (verb === "get") return store.get(name, id, part);
      return (verb === "put" ? store.put(name, id, part, kept) : store.drop(name, id, part)).then(() => undefined);
    };
    return act()
      .then((bytes) => bytes ?? NOTHING)
      .finally(done);
  }

  /** P2. */
  #begin(account: string): () => void {
    const most = LIMITS.bodyParts.value;
    const own = this.#byAccount.get(account) ?? 0;
    if (this.#size >= most || own >= most / 2) {
      throw new Fault("Throttled", "as many parts of large bodies as may be are under work", { retryAfterMs: 100, limit: "bodyParts" });
    }
    this.#size++;
    this.#byAccount.set(account, own + 1);
    return () => {
      this.#size--;
      const left = (this.#byAccount.get(account) ?? 1) - 1;
      if (left === 0) this.#byAccount.delete(account);
      else this.#byAccount.set(account, left);
    };
  }
}
