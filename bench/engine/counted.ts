/**
 * The platform's own caller (nodes/io/caller.ts) with every reply counted: a second one to a token is seen here,
 * where the caller itself would drop it silently.
 */
import type { Msg, NatsConnection, PublishOptions, SubscriptionOptions } from "nats";
import { type Caller, openCaller } from "../../nodes/io/caller.ts";

export interface CountedCaller extends Caller {
  /** Replies that came again, or that nobody had asked for. */
  readonly doubled: number;
}

/** Opens an inbox of its own below `prefix`. */
export function openCountedCaller(nc: NatsConnection, prefix: string): CountedCaller {
  const expected = new Set<string>();
  let doubled = 0;
  const count = (msg: Msg): void => {
    // 503 is the broker's word that nobody listens; it is the only reply to its call, like any other.
    if (!expected.delete(msg.subject)) doubled += 1;
  };
  const wire: Pick<NatsConnection, "publish" | "subscribe"> = {
    publish(subject: string, body?: Uint8Array | string, options?: PublishOptions) {
      if (options?.reply !== undefined) expected.add(options.reply);
      nc.publish(subject, body, options);
    },
    subscribe(subject: string, options: SubscriptionOptions = {}) {
      const callback: SubscriptionOptions["callback"] = (error, msg) => {
        if (error === null) count(msg);
        options.callback?.(error, msg);
      };
      return nc.subscribe(subject, { ...options, callback });
    },
  };
  // The caller needs these two verbs of a connection only.
  const { call } = openCaller(wire as NatsConnection, prefix);
  return {
    call,
    get doubled() {
      return doubled;
    },
  };
}
