/** Reads function logs back from their stream: what was kept, and on request what comes after, without a gap between. */
import { AckPolicy, type Consumer, type ConsumerMessages, DeliverPolicy } from "nats";
import { decode } from "../../protocol/codec.ts";
import { Fault } from "../../protocol/errors.ts";
import { type FunctionLogs, functionLogs, LOG_STREAM_NAME } from "../../protocol/messages/logs.ts";
import { SUBJECT } from "../../protocol/subjects.ts";
import type { Connected } from "./nats.ts";
import { storageFault } from "./storage-fault.ts";

export interface LogQuery {
  /** Undefined: all accounts. */
  readonly account?: string;
  /** Undefined: all functions. */
  readonly name?: string;
  /** Epoch ms from which on. */
  readonly since: number;
  /** Go on with what comes, until the signal fires. */
  readonly follow: boolean;
  /** With `follow`: called once what was kept has been read. */
  readonly onLive: () => void;
  readonly signal: AbortSignal;
}

export interface LogBatch {
  readonly account: string;
  readonly function: string;
  readonly host: string;
  readonly lines: FunctionLogs["lines"];
}

/** How long the broker keeps the consumer of a reader that went away, in ns. */
const FORGOTTEN_NS = 60 * 1_000_000_000;

/** In the order of the stream. Throws Fault NotFound when no logs are kept here. Malformed records are skipped. */
export async function* readLogs({ nc }: Connected, query: LogQuery): AsyncGenerator<LogBatch> {
  const manager = await storageFault("no function logs can be read", () => nc.jetstreamManager());
  const made = await manager.consumers
    .add(LOG_STREAM_NAME, {
      ack_policy: AckPolicy.None,
      deliver_policy: DeliverPolicy.StartTime,
      opt_start_time: new Date(query.since).toISOString(),
      filter_subject: SUBJECT.logs(query.account ?? "*", query.name ?? "*"),
      inactive_threshold: FORGOTTEN_NS,
      mem_storage: true,
    })
    .catch((error: unknown) => {
      throw new Fault(
        "NotFound",
        `no function logs are kept at this broker: ${error instanceof Error ? error.message : String(error)}`,
        undefined,
        error,
      );
    });
  const consumer = await nc.jetstream().consumers.get(LOG_STREAM_NAME, made.name);
  try {
    yield* read(consumer, made.num_pending, query);
  } finally {
    await consumer.delete().catch(() => undefined);
  }
}

async function* read(consumer: Consumer, kept: number, query: LogQuery): AsyncGenerator<LogBatch> {
  if (kept === 0 && query.follow) query.onLive();
  if (kept === 0 && !query.follow) return;
  const messages: ConsumerMessages = await consumer.consume();
  const stop = (): void => void messages.close();
  query.signal.addEventListener("abort", stop, { once: true });
  let left = kept;
  try {
    for await (const message of messages) {
      const batch = parse(message.subject, message.data);
      if (batch !== undefined) yield batch;
      left -= 1;
      if (left <= 0 && !query.follow) return;
      if (left === 0) query.onLive();
    }
  } finally {
    query.signal.removeEventListener("abort", stop);
    // Not awaited: the client never resolves it for an iteration that was left early.
    void messages.close();
  }
}

function parse(subject: string, data: Uint8Array): LogBatch | undefined {
  const [, , account = "", name = ""] = subject.split(".");
  try {
    const { host, lines } = functionLogs.body.parse(decode(data));
    return { account, function: name, host, lines };
  } catch {
    return undefined;
  }
}
