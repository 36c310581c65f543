/** Finds a finished call in the stream PILOT_CALLS by the time in its id. */
import type { NatsConnection } from "nats";
import { decode } from "../../protocol/codec.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { SUBJECT } from "../../protocol/subjects.ts";
import type { CallRecord } from "../../protocol/vocabulary.ts";

/** Batches are written when calls end: after the receipt, at most a run and a few waits later. */
const SLACK_MS = 1_000;
const EMPTY_AFTER_MS = 500;

/** Reads from the receipt on until the call, the end of the log, or the longest time a call may take. */
export async function findInLog(nc: NatsConnection, id: string, receivedAt: number): Promise<CallRecord | undefined> {
  const consumer = await nc.jetstream().consumers.get("PILOT_CALLS", {
    filterSubjects: SUBJECT.callsAll,
    opt_start_time: new Date(receivedAt - SLACK_MS).toISOString(),
    inactive_threshold: 5_000,
  });
  const latest = receivedAt + LIMITS.timeoutMax.value + 2 * SLACK_MS;
  for (;;) {
    const batch = await consumer.fetch({ max_messages: 256, expires: EMPTY_AFTER_MS * 2 });
    let read = 0;
    for await (const message of batch) {
      read++;
      const { calls } = decode(message.data) as { calls: CallRecord[] };
      const found = calls.find((call) => call.id === id);
      if (found !== undefined) return found;
      if (message.info.timestampNanos / 1e6 > latest) return undefined;
      if (message.info.pending === 0) return undefined;
    }
    if (read === 0) return undefined;
  }
}
