/**
 * What a node knows of functions, versions and accounts.
 *
 * R1  A record is replaced only by one of a higher revision, wherever each comes from: watch, sync or read.
 * R2  A name that is not known is read once from the leader before it is called absent; that answer is believed for LIMITS.absentName.
 * R3  Versions are immutable and numbers are never given twice, so a version once read needs no watching.
 */
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import type { AccountRecord, FunctionRecord, VersionRecord } from "../../protocol/vocabulary.ts";
import { mirror } from "./mirror.ts";
import type { Bucket, Clock, Log } from "./ports.ts";
import { SingleFlight } from "./single-flight.ts";

export interface RegistryBuckets {
  /** Keys are `<account>.<name>`. */
  readonly functions: Bucket<FunctionRecord>;
  /** Keys are `<account>.<name>.<version>`. */
  readonly versions: Bucket<VersionRecord>;
  /** Keys are the accounts' names. */
  readonly accounts: Bucket<AccountRecord>;
}

/** A change of what the registry holds; `record` undefined: it is gone. */
export type RegistryChange =
  | { readonly kind: "function"; readonly account: string; readonly name: string; readonly record: FunctionRecord | undefined }
  | { readonly kind: "account"; readonly account: string; readonly record: AccountRecord | undefined };

/** The part of a sync message that concerns the registry. */
export interface RegistrySync {
  readonly function?: { readonly key: string; readonly revision: number; readonly record: FunctionRecord | null } | undefined;
  readonly account?: { readonly key: string; readonly revision: number; readonly record: AccountRecord | null } | undefined;
  readonly version?: VersionRecord | undefined;
}

export interface Registry {
  /** What is known now, without asking anybody. */
  function(account: string, name: string): FunctionRecord | undefined;
  /** Revision of that record: higher is newer. */
  revision(account: string, name: string): number | undefined;
  /**
   * The same, but an unknown name is read from the leader first. Rejects with the bucket's Fault, or Throttled when
   * LIMITS.registryReads names are being read already.
   */
  readThrough(account: string, name: string): Promise<FunctionRecord | undefined>;
  /** One immutable version, read when it is not in memory; undefined when there is none. Rejects as readThrough does. */
  version(account: string, name: string, version: number): Promise<VersionRecord | undefined>;
  account(name: string): AccountRecord | undefined;
  functions(): Iterable<FunctionRecord>;
  accounts(): Iterable<AccountRecord>;
  /**
   * This node was away, and others may not have waited for it: for a while each function is read from the leader before it
   * is believed again.
   */
  doubt(): void;
  /** Applies what a scheduler says, unless it is older than what is known. When it returns, lookups give the new record. */
  sync(change: RegistrySync): void;
  /** Calls for every change from now on, in line with it: listeners must not wait. Returns how to stop. */
  onChange(listener: (change: RegistryChange) => void): () => void;
  stop(): void;
}

/** The key of a function in its bucket, and of its waiting room and counters elsewhere. */
export const functionKey = (account: string, name: string): string => `${account}.${name}`;

/** The key of a version in its bucket. */
export const versionKey = (account: string, name: string, version: number): string => `${account}.${name}.${version}`;

/** Opens the read side; resolves when every present function and account is in. Rejects with the bucket's Fault. */
export async function openRegistry(buckets: RegistryBuckets, clock: Clock, log: Log): Promise<Registry> {
  const listeners = new Set<(change: RegistryChange) => void>();
  const tell = (change: RegistryChange): void => {
    for (const listener of listeners) {
      try {
        listener(change);
      } catch (thrown) {
        log.error("a listener of the registry failed", { error: Fault.from(thrown).message });
      }
    }
  };
  /** Name → when that is no longer believed; the oldest come first. */
  const absent = new Map<string, number>();
  let doubt: { readonly until: number; readonly believed: Set<string> } | undefined;
  const believes = (key: string): boolean => {
    if (doubt !== undefined && clock.now() > doubt.until) doubt = undefined;
    return doubt === undefined || doubt.believed.has(key);
  };
  const functions = await mirror(buckets.functions, (key, record) => {
    absent.delete(key);
    const [account = "", name = ""] = key.split(".");
    tell({ kind: "function", account, name, record });
  });
  const accounts = await mirror(buckets.accounts, (account, record) => tell({ kind: "account", account, record })).catch(
    (thrown: unknown) => {
      functions.stop();
      throw thrown;
    },
  );
  const versions = new Map<string, VersionRecord>();
  const functionReads = new SingleFlight<FunctionRecord | undefined>(LIMITS.registryReads.value);
  const versionReads = new SingleFlight<VersionRecord | undefined>(LIMITS.registryReads.value);

  const readFunction = async (key: string): Promise<FunctionRecord | undefined> => {
    const stored = await buckets.functions.get(key);
    if (stored) functions.apply(key, stored.value, stored.revision);
    // A sync or the watch may have brought it while the read was on its way.
    const record = stored === undefined && !believes(key) ? undefined : functions.get(key);
    if (stored !== undefined) doubt?.believed.add(key);
    if (record === undefined) {
      absent.delete(key);
      absent.set(key, clock.now() + LIMITS.absentName.value);
      trim(absent, LIMITS.absentNames.value);
    }
    return record;
  };
  /** The most recently used is the last. */
  const knowVersion = (key: string, record: VersionRecord): void => {
    versions.delete(key);
    versions.set(key, record);
    trim(versions, LIMITS.versionsCached.value);
  };
  const readVersion = async (key: string): Promise<VersionRecord | undefined> => {
    const stored = await buckets.versions.get(key);
    if (stored) knowVersion(key, stored.value);
    return stored?.value;
  };

  return {
    function: (account, name) => {
      const key = functionKey(account, name);
      return believes(key) ? functions.get(key) : undefined;
    },
    revision: (account, name) => functions.revision(functionKey(account, name)),
    async readThrough(account, name) {
      const key = functionKey(account, name);
      const known = functions.get(key);
      if (known !== undefined && believes(key)) return known;
      const believedUntil = absent.get(key);
      if (believedUntil !== undefined && clock.now() < believedUntil) return undefined;
      return functionReads.run(key, () => readFunction(key));
    },
    async version(account, name, version) {
      const key = versionKey(account, name, version);
      const known = versions.get(key);
      if (known === undefined) return versionReads.run(key, () => readVersion(key));
      knowVersion(key, known);
      return known;
    },
    account: (name) => accounts.get(name),
    functions: () => functions.values(),
    accounts: () => accounts.values(),
    doubt() {
      doubt = { until: clock.now() + LIMITS.registryDoubt.value, believed: new Set() };
    },
    sync(change) {
      if (change.function) functions.apply(change.function.key, change.function.record ?? undefined, change.function.revision);
      if (change.account) accounts.apply(change.account.key, change.account.record ?? undefined, change.account.revision);
      const { version } = change;
      if (version) knowVersion(versionKey(version.account, version.name, version.version), version);
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    stop() {
      functions.stop();
      accounts.stop();
      listeners.clear();
    },
  };
}

/** Forgets the oldest entries above `most`. */
function trim(map: Map<string, unknown>, most: number): void {
  for (const key of map.keys()) {
    if (map.size <= most) return;
    map.delete(key);
  }
}
