/**
 * Follows the store of large bodies: of each message its subject and size, never its bytes, so that every node that stores parts
 * knows what the accounts have there, whoever stored it.
 *
 * W1  The picture is made anew whenever the watch begins again (after a lost connection, too), and used when it is whole; until then
 *     the one before counts.
 * W2  What this node stored counts at once, unless the watch has told of it already.
 */
import { consumerOpts, type JetStreamSubscription, type NatsConnection } from "nats";
import { type BodyShare, BodyShares } from "../../actors/kit/body-shares.ts";
import type { Log } from "../../actors/kit/ports.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { OBJECTS } from "./buckets.ts";
import { systemClock } from "./clock.ts";
import { onReconnect } from "./reconnect.ts";
import { storageFault } from "./storage-fault.ts";

const STREAM = `OBJ_${OBJECTS.bodies}`;
const CHUNKS = `$O.${OBJECTS.bodies}.C.`;

/** What is told of each account's share. */
export interface BodyWatch {
  /** Why a part may not be stored; undefined: it may. Key is `<account>.<id>.<part>`. */
  refusal(key: string, bytes: number): Fault | undefined;
  /** This node stored a part, as that message of the store. */
  stored(key: string, bytes: number, sequence: number): void;
  stop(): void;
}

/** Begins to follow; never rejects: as long as the store cannot be followed, its picture is the last one, or empty. `most`: of one account. */
export function watchBodies(nc: NatsConnection, log: Log, most?: BodyShare): BodyWatch {
  let shares = new BodyShares(systemClock, most);
  let told = 0;
  let stopped = false;
  let current: JetStreamSubscription | undefined;

  const follow = async (): Promise<void> => {
    const options = consumerOpts().bindStream(STREAM).orderedConsumer().headersOnly().deliverLastPerSubject();
    const messages = await nc.jetstream({ timeout: LIMITS.control.value }).subscribe(`${CHUNKS}>`, options);
    current = messages;
    try {
      if (stopped) return;
      const next = new BodyShares(systemClock, most);
      if ((await messages.consumerInfo()).num_pending === 0) shares = next;
      for await (const { subject, seq, headers, info } of messages) {
        const bytes = Number(headers?.get("Nats-Msg-Size") ?? 0);
        next.stored({ key: subject.slice(CHUNKS.length), bytes, at: info.timestampNanos / 1e6 });
        told = seq;
        if (info.pending === 0) shares = next;
      }
    } finally {
      // Also where it did not come to the loop: what nobody reads would pile up.
      messages.unsubscribe();
    }
  };
  const ended = onReconnect(nc, () => current?.unsubscribe());
  const run = async (): Promise<void> => {
    let isTold = false;
    while (!stopped && !nc.isClosed()) {
      try {
        await storageFault("the store of large bodies cannot be followed", follow);
      } catch (thrown) {
        // A store that a scheduler still has to make is no news.
        const { message } = Fault.from(thrown);
        if (!isTold) log.debug("it is not known what accounts have of the store of large bodies", { error: message });
        isTold = true;
      }
      await new Promise((resolve) => setTimeout(resolve, LIMITS.watchRetry.value).unref());
    }
  };
  void run();
  return {
    refusal: (key, bytes) => shares.refusal(key, bytes),
    stored(key, bytes, sequence) {
      if (sequence > told) shares.stored({ key, bytes, at: systemClock.epoch() });
    },
    stop() {
      stopped = true;
      ended();
      current?.unsubscribe();
    },
  };
}
