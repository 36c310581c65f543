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
  /** Who leads which class; keys are classes. Never removed: its revisions fence, and in a new bucket they would begin again. */
  leases: "pilot_leases",
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
  ...Object.values(BUCKET).map((bucket) => ({
    ...kvRow(bucket),
    ...(bucket === BUCKET.data && { max_bytes: LIMITS.dataKept.value }),
    ...(bucket === BUCKET.leases && { max_age: nanos(LIMITS.leaseLife.value) }),
  })),
  objectsRow(OBJECTS.code),
  objectsRow(OBJECTS.inline, LIMITS.inlineKept.value, LIMITS.inlineLife.value),
  // The broker remembers the subject of each message: tiny parts would take its memory long before they take the disk.
  { ...objectsRow(OBJECTS.bodies, LIMITS.bodiesKept.value, LIMITS.bodyLife.value), max_msgs: LIMITS.bodyPartsKept.value },
  recordsRow(STREAM.calls, SUBJECT.callsAll, LIMITS.callsKept.value),
  recordsRow(STREAM.logs, SUBJECT.logsAll, LIMITS.logsKept.value),
];

/**
 * Makes what is missing and brings what is there to the present limits, and to as many copies (`replicas`) where it has fewer; safe to do
 * again and by several nodes at once. Resolves with the names of what has fewer copies than that, because too few servers are there.
 * Faults: Unavailable when the broker has no JetStream, NotAllowed without the right.
 */
export async function prepareStorage(nc: NatsConnection, replicas = 1): Promise<string[]> {
  return storageFault("the storage cannot be prepared", async () => {
    const jsm = await nc.jetstreamManager({ timeout: LIMITS.control.value });
    const short: string[] = [];
    for (const row of TABLE) if ((await ensure(jsm, row, replicas)) < replicas) short.push(row.name);
    return short;
  });
}

/** Gives the number of copies that there are. */
async function ensure(jsm: JetStreamManager, row: Row, replicas: number): Promise<number> {
  const wanted = { retention: RetentionPolicy.Limits, storage: StorageType.File, num_replicas: replicas, ...row };
  const present = await configOf(jsm, row.name);
  if (present) return bringUp(jsm, present, wanted);
  try {
    return (await fewerWhereNeeded(replicas, (copies) => jsm.streams.add({ ...wanted, num_replicas: copies }))) ?? 1;
  } catch (thrown) {
    // Another node was quicker, perhaps one of another release.
    const theirs = await configOf(jsm, row.name);
    if (!theirs) throw thrown;
    return bringUp(jsm, theirs, wanted);
  }
}

async function bringUp(jsm: JetStreamManager, present: StreamConfig, wanted: Row & { readonly num_replicas: number }): Promise<number> {
  const { max_bytes = -1, max_msgs = -1, max_age = 0, allow_direct = false, num_replicas } = wanted;
  const bounds = { max_bytes, max_msgs, max_age, allow_direct };
  const isOther = present.max_bytes !== max_bytes || present.max_msgs !== max_msgs || present.max_age !== max_age;
  if (isOther || present.allow_direct !== allow_direct) await jsm.streams.update(wanted.name, { ...present, ...bounds });
  if (present.num_replicas >= num_replicas) return present.num_replicas;
  const raise = (copies: number) =>
    copies > present.num_replicas ? jsm.streams.update(wanted.name, { ...present, ...bounds, num_replicas: copies }) : undefined;
  return (await fewerWhereNeeded(num_replicas, raise)) ?? present.num_replicas;
}

/** JetStream's numbers for: too few servers for so many copies; not in a cluster at all; the same, of an update. */
const TOO_FEW_SERVERS = [10_005, 10_074, 10_052];

/** Does it with as many copies as the servers that are there allow, an odd number; gives that, or undefined where nothing was done. */
async function fewerWhereNeeded(most: number, work: (copies: number) => Promise<unknown> | undefined): Promise<number | undefined> {
  for (let copies = most; ; copies = Math.max(1, copies - (copies % 2 === 0 ? 1 : 2))) {
    try {
      const done = work(copies);
      await done;
      return done === undefined ? undefined : copies;
    } catch (thrown) {
      const number = thrown instanceof NatsError ? thrown.api_error?.err_code : undefined;
      if (copies === 1 || number === undefined || !TOO_FEW_SERVERS.includes(number)) throw thrown;
    }
  }
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
