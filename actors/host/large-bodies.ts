/**
 * Large bodies in a host: those it reads from the store for calls, and the results that it stores.
 *
 * L1  Nothing is read before there is room for it; a call waits for that. What of a body is in the host's memory counts until it has been
 *     handed into the container.
 * L2  A result is in memory already when it comes: it is stored at once where there is room, and refused otherwise.
 * L3  No account has more than half of either room.
 */
import type { BodyRef } from "../../protocol/bodies.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import type { BodyStore } from "../kit/body-store.ts";
import type { Clock } from "../kit/ports.ts";
import type { Counters } from "./counters.ts";

/** A body on its way from the store. */
export interface Fetch {
  /** Rejects with a Fault, also when it is ended. */
  readonly body: Promise<Uint8Array>;
  /** Gives the room back, and ends the reading where it still goes on. Twice does no harm. */
  end(): void;
}

export interface LargeBodiesPorts {
  readonly clock: Clock;
  readonly store: BodyStore;
  readonly counters: Counters;
  /** True once others have declared this host lost: another may need the body. */
  isLost(): boolean;
}

export class LargeBodies {
  readonly #ports: LargeBodiesPorts;
  readonly #coming = new Room(LIMITS.largeBodies.value);
  readonly #going = new Room(LIMITS.largeResults.value);

  constructor(ports: LargeBodiesPorts) {
    this.#ports = ports;
  }

  /** Bytes of bodies that are being read or handed in, and of results that are being stored. */
  get bytes(): { readonly coming: number; readonly going: number } {
    return { coming: this.#coming.used, going: this.#going.used };
  }

  /** Reads a body when there is room for it, within LIMITS.bodyWait. */
  fetch(account: string, ref: BodyRef): Fetch {
    const { clock, store, counters } = this.#ports;
    counters.add("bodies.fetched");
    const control = new AbortController();
    const { signal } = control;
    const place = this.#coming.wait(account, ref.bytes);
    if (place.isWaiting) counters.add("limit.largeBodies");
    const timer = clock.after(LIMITS.bodyWait.value, () => control.abort(this.#hit(late("read"))));
    const end = (): void => {
      timer.cancel();
      control.abort(new Fault("Cancelled", "the call that needs the large body has ended"));
      place.leave();
    };
    const body = new Promise<Uint8Array>((resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      void place.granted.then(() => (signal.aborted ? undefined : store.read(account, ref, signal).then(resolve, reject)));
    });
    body.then(() => timer.cancel(), end);
    return { body, end };
  }

  /** Stores a large result; rejects with Throttled when there is no room, or as the store does. The bytes must not change meanwhile. */
  async store(account: string, bytes: Uint8Array): Promise<BodyRef> {
    this.#ports.counters.add("bodies.stored");
    const leave = this.#going.take(account, bytes.length);
    if (leave === undefined) throw this.#hit(noRoom());
    const control = new AbortController();
    const timer = this.#ports.clock.after(LIMITS.bodyWait.value, () => control.abort(late("stored")));
    try {
      return await this.#ports.store.write(account, bytes, control.signal);
    } catch (thrown) {
      throw this.#hit(Fault.from(thrown));
    } finally {
      timer.cancel();
      leave();
    }
  }

  /** Removes a body that has served. */
  drop(account: string, ref: BodyRef): void {
    if (!this.#ports.isLost()) this.#ports.store.drop(account, ref);
  }

  #hit(fault: Fault): Fault {
    this.#ports.counters.hit(fault);
    return fault;
  }
}

const noRoom = (): Fault =>
  new Fault("Throttled", "the host is storing as many large bodies as it may", { retryAfterMs: 1_000, limit: "largeResults" });
const late = (what: string): Fault =>
  new Fault("Unavailable", `the large body was not ${what} within ${LIMITS.bodyWait.value} ms`, { limit: "bodyWait" });

interface Waiting {
  readonly account: string;
  readonly bytes: number;
  grant(): void;
}

/** A bound in bytes that accounts share (L3). */
class Room {
  readonly #most: number;
  readonly #byAccount = new Map<string, number>();
  readonly #waiting = new Set<Waiting>();
  used = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** Gives back how to leave; undefined: there is no room. */
  take(account: string, bytes: number): (() => void) | undefined {
    const own = this.#byAccount.get(account) ?? 0;
    if (this.used + bytes > this.#most || own + bytes > this.#most / 2) return undefined;
    this.used += bytes;
    this.#byAccount.set(account, own + bytes);
    let isIn = true;
    return () => {
      if (!isIn) return;
      isIn = false;
      this.used -= bytes;
      const left = (this.#byAccount.get(account) ?? bytes) - bytes;
      if (left === 0) this.#byAccount.delete(account);
      else this.#byAccount.set(account, left);
      for (const one of this.#waiting) one.grant();
    };
  }

  /** Waits for room; whoever came first and fits goes first. `granted` never rejects; it stays open when it was left before. */
  wait(account: string, bytes: number): { readonly granted: Promise<void>; readonly isWaiting: boolean; leave(): void } {
    let leave: (() => void) | undefined;
    let waiting: Waiting | undefined;
    const granted = new Promise<void>((resolve) => {
      const tryIt = (): void => {
        leave = this.take(account, bytes);
        if (leave === undefined) return;
        if (waiting !== undefined) this.#waiting.delete(waiting);
        resolve();
      };
      tryIt();
      if (leave !== undefined) return;
      waiting = { account, bytes, grant: tryIt };
      this.#waiting.add(waiting);
    });
    return {
      granted,
      isWaiting: waiting !== undefined,
      leave: () => {
        if (waiting !== undefined) this.#waiting.delete(waiting);
        leave?.();
      },
    };
  }
}
