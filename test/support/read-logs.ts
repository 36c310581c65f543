/** Everything the broker keeps of a function's output. */
import type { Connected } from "../../nodes/io/nats.ts";
import { decode } from "../../protocol/codec.ts";
import { functionLogs, LOG_STREAM_NAME } from "../../protocol/messages/logs.ts";
import { SUBJECT } from "../../protocol/subjects.ts";

export async function readLogs({ nc }: Connected, account: string, name: string) {
  const consumer = await nc.jetstream().consumers.get(LOG_STREAM_NAME, { filterSubjects: SUBJECT.logs(account, name) });
  const lines: ReturnType<typeof functionLogs.body.parse>["lines"][number][] = [];
  const batch = await consumer.fetch({ max_messages: 1_000, expires: 1_000 });
  for await (const message of batch) {
    lines.push(...functionLogs.body.parse(decode(message.data)).lines);
    if (message.info.pending === 0) break;
  }
  await consumer.delete();
  return lines;
}
