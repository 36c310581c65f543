/**
 * The Bucket port over a NATS KV bucket; values are msgpack.
 *
 * B1  Reads are answered by the leader of the stream, never by a replica: what was written is read.
 * B2  A watch goes on from the last revision it has told after every reconnect, at once and in order; the client library's own
 *     way would be deaf until two of its heartbeats, 5 s each, are missed, and ends for good when the broker is not ready then.
 * B3  The key is checked before it is sent; what is thrown is a Fault.
 */
import type { JetStreamManager, KV, NatsConnection, QueuedIterator, StoredMsg } from "nats";
import type { Bucket, Log, Stored } from "../../actors/kit/ports.ts";
import { decode, encode } from "../../protocol/codec.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { onReconnect } from "./reconnect.ts";
import { isMissingMessage, storageFault } from "./storage-fault.ts";

export interface BucketOptions {
  /** Nobody watches it, so a removal may leave no trace; needs the right to purge its stream. Default false. */
  readonly unwatched?: boolean;
  /** How long a read or write may take, in ms. Default LIMITS.control. */
  readonly timeoutMs?: number;
}

/** Opens a bucket that prepareStorage has made. Rejects with Fault Unavailable when JetStream does not answer. */
export async function openBucket<T>(nc: NatsConnection, name: string, log: Log, options: BucketOptions = {}): Promise<Bucket<T>> {
  const { kv, jsm } = await storageFault(`the bucket ${name} cannot be opened`, async () => {
    const timeout = options.timeoutMs ?? LIMITS.control.value;
    const js = nc.jetstream({ timeout });
    return { kv: await js.views.kv(name, { bindOnly: true, allow_direct: false, timeout }), jsm: await nc.jetstreamManager({ timeout }) };
  });
  const what = (verb: string, key: string): string => `${name}: ${verb} ${key}`;
  return {
    get(key) {
      return storageFault(what("get", key), async () => {
        const message = await newest(jsm, name, checked(key));
        if (message === undefined || message.header.get("KV-Operation") !== "") return undefined;
        return { key, value: decode(message.data) as T, revision: message.seq } satisfies Stored<T>;
      });
    },
    create: (key, value) => storageFault(what("create", key), () => kv.create(checked(key), encode(value))),
    update: (key, value, revision) => storageFault(what("update", key), () => kv.update(checked(key), encode(value), revision)),
    put: (key, value) => storageFault(what("put", key), () => kv.put(checked(key), encode(value))),
    remove: (key, revision) =>
      storageFault(what("remove", key), () => remove(kv, jsm, name, checked(key), revision, options.unwatched === true)),
    watch: (listener) => watch(nc, kv, name, log, listener),
  };
}

/** The KV client's own `get` takes a bucket that does not exist for an empty one. */
async function newest(jsm: JetStreamManager, name: string, key: string): Promise<StoredMsg | undefined> {
  try {
    return await jsm.streams.getMessage(`KV_${name}`, { last_by_subj: `$KV.${name}.${key}` });
  } catch (thrown) {
    if (isMissingMessage(thrown)) return undefined;
    throw thrown;
  }
}

async function remove(
  kv: KV,
  jsm: JetStreamManager,
  name: string,
  key: string,
  revision: number | undefined,
  traceless: boolean,
): Promise<void> {
  if (traceless && revision === undefined) await jsm.streams.purge(`KV_${name}`, { filter: `$KV.${name}.${key}` });
  else await kv.delete(key, revision === undefined ? {} : { previousSeq: revision });
}

/** Keys are words with dots between; each word of letters, digits, `-`, `_`, `/` and `=`. */
function checked(key: string): string {
  if (/^[-/_=a-zA-Z0-9]+(?:\.[-/_=a-zA-Z0-9]+)*$/.test(key)) return key;
  throw new Fault("BadRequest", `"${key.slice(0, 80)}" is no key`);
}

async function watch<T>(
  nc: NatsConnection,
  kv: KV,
  name: string,
  log: Log,
  listener: (key: string, value: T | undefined, revision: number) => void,
): Promise<{ stop(): void }> {
  let last = 0;
  let stopped = false;
  let current: QueuedIterator<unknown> | undefined;
  const { promise: present, resolve: allPresent, reject: neverPresent } = withResolvers();

  const tell = (key: string, operation: string, bytes: Uint8Array, revision: number): void => {
    last = Math.max(last, revision);
    try {
      listener(key, operation === "PUT" ? (decode(bytes) as T) : undefined, revision);
    } catch (thrown) {
      log.error("a stored value was not taken", { bucket: name, key, revision, error: Fault.from(thrown).message });
    }
  };
  const follow = async (): Promise<void> => {
    const entries = await kv.watch({ initializedFn: allPresent, ...(last > 0 && { resumeFromRevision: last + 1 }) });
    current = entries;
    if (stopped) entries.stop();
    for await (const { key, operation, value, revision } of entries) if (revision > last) tell(key, operation, value, revision);
  };
  const ended = onReconnect(nc, () => current?.stop());
  const running = (async () => {
    const patience = performance.now() + LIMITS.storageWait.value;
    while (!stopped && !nc.isClosed()) {
      const fault = await storageFault(`${name}: watch`, follow).then(
        () => undefined,
        (thrown: unknown) => Fault.from(thrown),
      );
      if (fault && (fault.name !== "Unavailable" || performance.now() > patience)) neverPresent(fault);
      if (fault && !stopped && !nc.isClosed()) {
        log.warn("a watch ended and is begun again", { bucket: name, error: fault.message });
        await new Promise((resolve) => setTimeout(resolve, LIMITS.watchRetry.value).unref());
      }
    }
  })();
  const stop = (): void => {
    stopped = true;
    ended();
    current?.stop();
  };
  try {
    await present;
  } catch (thrown) {
    stop();
    await running;
    throw thrown;
  }
  return { stop };
}

function withResolvers(): { promise: Promise<void>; resolve: () => void; reject: (reason: unknown) => void } {
  let resolve: () => void = () => undefined;
  let reject: (reason: unknown) => void = () => undefined;
  const promise = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
