/**
 * Waiting for the storage, and keeping its copies.
 *
 * S1  A JetStream that has no leader yet, and buckets that no scheduler has made yet, are waited for until the supervisor gives the node
 *     up and starts it afresh; a broker without JetStream is said at once.
 * S2  Streams get their copies as soon as enough servers are there, also long after the start.
 */
import { setTimeout as pause } from "node:timers/promises";
import { type NatsConnection, NatsError } from "nats";
import type { Log } from "../../actors/kit/ports.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { BUCKET, OBJECTS, prepareStorage } from "./buckets.ts";
import { onServersChanged } from "./reconnect.ts";
import { OFF_FOR_ACCOUNT, storageFault } from "./storage-fault.ts";

/** What frontends, hosts and schedulers open when they start. */
const OPENED = [
  ...[BUCKET.functions, BUCKET.versions, BUCKET.accounts, BUCKET.pools, BUCKET.removed, BUCKET.data].map((bucket) => `KV_${bucket}`),
  ...[OBJECTS.code, OBJECTS.inline].map((bucket) => `OBJ_${bucket}`),
];

/** Resolves when JetStream answers; with `buckets`, when a scheduler has made them too. Rejects with Fault Unavailable when the broker has no JetStream. */
export async function storageReady(nc: NatsConnection, buckets: boolean, log: Log): Promise<void> {
  await patiently(nc, log, () =>
    storageFault("the storage is not ready", async () => {
      const jsm = await nc.jetstreamManager({ timeout: LIMITS.control.value });
      if (buckets) await Promise.all(OPENED.map((name) => jsm.streams.info(name)));
    }),
  );
}

/**
 * Makes the storage with so many copies, by default three in a cluster of three servers or more, else one; and tries for what lacks copies
 * again until it has them. Resolves when everything is there. Rejects as prepareStorage does, but not for what passes.
 */
export async function keepStorage(nc: NatsConnection, replicas: number | undefined, log: Log): Promise<{ stop(): void }> {
  const wanted = (): number => replicas ?? (serversOf(nc) >= 3 ? 3 : 1);
  // Of the last try: more servers may have come while it went on.
  let had = 0;
  const prepare = (): Promise<string[]> => prepareStorage(nc, (had = wanted()));
  const until = performance.now() + LIMITS.copiesWait.value;
  let short = await patiently(nc, log, prepare);
  while (short.length > 0 && performance.now() < until) {
    await pause(LIMITS.storageRetry.value);
    short = await patiently(nc, log, prepare);
  }
  let busy = false;
  if (short.length > 0)
    log.warn(`too few servers to keep ${had} copies of each stream; they get them when there are enough`, { streams: short });

  const again = async (): Promise<void> => {
    if (busy || nc.isClosed() || (short.length === 0 && wanted() <= had)) return;
    busy = true;
    const before = { short: short.length, had };
    try {
      short = await prepare();
      if (short.length === 0 && (before.short > 0 || had > before.had)) log.info("every stream has its copies", { copies: had });
    } catch (thrown) {
      had = before.had;
      log.warn("streams could not be given their copies; it is tried again", { error: Fault.from(thrown).message });
    } finally {
      busy = false;
    }
  };
  const timer = setInterval(() => void again(), LIMITS.copiesAgain.value);
  const forget = onServersChanged(nc, () => void again());
  if (wanted() > had) void again();
  return {
    stop() {
      clearInterval(timer);
      forget();
    },
  };
}

/** Servers of the cluster that tell of each other; 1 where there is no cluster. */
function serversOf({ info }: NatsConnection): number {
  return info?.cluster === undefined ? 1 : new Set(info.connect_urls ?? []).size;
}

async function patiently<T>(nc: NatsConnection, log: Log, work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (thrown) {
      const { name, message, cause } = Fault.from(thrown);
      const without = nc.info !== undefined && nc.info.jetstream !== true && nc.info.cluster === undefined;
      const isOff = cause instanceof NatsError && cause.api_error?.err_code === OFF_FOR_ACCOUNT;
      if (name !== "Unavailable" || without || isOff || nc.isClosed()) throw thrown;
      if (attempt === 4) log.warn("it waits for the storage", { error: message });
      await pause(LIMITS.storageRetry.value);
    }
  }
}
