/**
 * Everything that Pilotlight stores in the broker: KV buckets, object stores and streams, as one table.
 * Schedulers and operators make it (prepareStorage); every node opens its buckets (openBuckets).
 */
import {
  DiscardPolicy,
  type JetStreamManager,
  type NatsConnection,
  NatsError,
  nanos,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from "nats";
import type { Bucket, Log } from "../../actors/kit/ports.ts";
import type { RegistryBuckets } from "../../actors/kit/registry.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { SUBJECT } from "../../protocol/subjects.ts";
import type { AccountRecord, FunctionRecord, PoolTarget, VersionRecord } from "../../protocol/vocabulary.ts";
import { openBucket } from "./bucket.ts";
import { storageFault } from "./storage-fault.ts";

export const BUCKET = {
  functions: "pilot_functions",
  versions: "pilot_versions",
  accounts: "pilot_accounts",
  pools: "pilot_pools",
  /** The last version numbers of removed functions. */
  removed: "pilot_removed",
  /** `context.kv`: keys are `<account>.<encoded key>`. */
  data: "pilot_data",
} as const;

export const OBJECTS = { code: "pilot_code", inline: "pilot_inline", bodies: "pilot_bodies" } as const;
export const STREAM = { calls: "PILOT_CALLS", logs: "PILOT_LOGS" } as const;

export interface Buckets extends RegistryBuckets {
  readonly pools: Bucket<readonly PoolTarget[]>;
  readonly removed: Bucket<number>;
  readonly data: Bucket<unknown>;
}

type Row = Partial<StreamConfig> & { readonly name: string; readonly subjects: string[] };

/** A KV bucket as every client knows it, but read from the leader only. */
const kvRow = (bucket: string): Row => ({
  name: `KV_${bucket}`,
  subjects: [`$KV.${bucket}.>`],
  max_msgs_per_subject: 1,
  discard: DiscardPolicy.New,
  allow_rollup_hdrs: true,
  allow_direct: false,
});

const objectsRow = (bucket: string, bytes = -1, lifeMs = 0): Row => ({
  name: `OBJ_${bucket}`,
  subjects: [`$O.${bucket}.C.>`, `$O.${bucket}.M.>`],
  discard: DiscardPolicy.New,
  allow_rollup_hdrs: true,
  allow_direct: true,
  max_bytes: bytes,
  max_age: nanos(lifeMs),
});

const recordsRow = (name: string, subjects: string, bytes: number): Row => ({
  name,
  subjects: [subjects],
  discard: DiscardPolicy.Old,
  max_bytes: bytes,
  max_age: nanos(LIMITS.recordsLife.value),
});

const TABLE: readonly Row[] = [
  // What functions and callers may fill has a bound, so that it never takes the place of what operators write.
  ...Object.values(BUCKET).map((bucket) =>
    bucket === BUCKET.data ? { ...kvRow(bucket), max_bytes: LIMITS.dataKept.value } : kvRow(bucket),
  ),
  objectsRow(OBJECTS.code),
  objectsRow(OBJECTS.inline, LIMITS.inlineKept.value, LIMITS.inlineLife.value),
  objectsRow(OBJECTS.bodies, LIMITS.bodiesKept.value, LIMITS.bodyLife.value),
  recordsRow(STREAM.calls, SUBJECT.callsAll, LIMITS.callsKept.value),
  recordsRow(STREAM.logs, SUBJECT.logsAll, LIMITS.logsKept.value),
];

/**
 * Makes what is missing and brings what is there to the present limits; safe to do again and by several nodes at once. `replicas`: copies
 * in a cluster, for what is new. Faults: Unavailable when the broker has no JetStream, NotAllowed without the right.
 */
export async function prepareStorage(nc: NatsConnection, replicas = 1): Promise<void> {
  await storageFault("the storage cannot be prepared", async () => {
    const jsm = await nc.jetstreamManager({ timeout: LIMITS.control.value });
    for (const row of TABLE) await ensure(jsm, row, replicas);
  });
}

async function ensure(jsm: JetStreamManager, row: Row, replicas: number): Promise<void> {
  const present = await configOf(jsm, row.name);
  const wanted = { retention: RetentionPolicy.Limits, storage: StorageType.File, num_replicas: present?.num_replicas ?? replicas, ...row };
  if (present) await bringUp(jsm, present, wanted);
  else {
    try {
      await jsm.streams.add(wanted);
    } catch (thrown) {
      // Another node was quicker, perhaps one of another release.
      const theirs = await configOf(jsm, row.name);
      if (!theirs) throw thrown;
      await bringUp(jsm, theirs, wanted);
    }
  }
}

async function bringUp(jsm: JetStreamManager, present: StreamConfig, wanted: Row): Promise<void> {
  const { max_bytes = -1, max_age = 0, allow_direct = false } = wanted;
  if (present.max_bytes === max_bytes && present.max_age === max_age && present.allow_direct === allow_direct) return;
  await jsm.streams.update(wanted.name, { ...present, max_bytes, max_age, allow_direct });
}

async function configOf(jsm: JetStreamManager, name: string): Promise<StreamConfig | undefined> {
  try {
    return (await jsm.streams.info(name)).config;
  } catch (thrown) {
    if (thrown instanceof NatsError && thrown.api_error?.code === 404) return undefined;
    throw thrown;
  }
}

/** Opens all buckets. Rejects with Fault Unavailable when the broker has no JetStream. */
export async function openBuckets(nc: NatsConnection, log: Log): Promise<Buckets> {
  const [functions, versions, accounts, pools, removed, data] = await Promise.all([
    openBucket<FunctionRecord>(nc, BUCKET.functions, log),
    openBucket<VersionRecord>(nc, BUCKET.versions, log, { unwatched: true }),
    openBucket<AccountRecord>(nc, BUCKET.accounts, log),
    openBucket<readonly PoolTarget[]>(nc, BUCKET.pools, log),
    openBucket<number>(nc, BUCKET.removed, log, { unwatched: true }),
    openBucket<unknown>(nc, BUCKET.data, log),
  ]);
  return { functions, versions, accounts, pools, removed, data };
}
