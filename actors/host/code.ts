/** The code cache port: how a host gets at code by digest. The disk form is nodes/io/code/cache.ts. */

/** Code that is held until `release`. At least one of `path` and `bytes` is there. */
export interface TakenCode {
  readonly digest: string;
  readonly size: number;
  /** True when it was downloaded for this take (or one that ran at the same time). */
  readonly downloaded: boolean;
  /** The file on the host's disk, read-only; absent when the disk took nothing. */
  readonly path?: string;
  /** The code itself: always for code up to LIMITS.codeSmall, and when there is no file. Not to be changed. */
  readonly bytes?: Uint8Array;
  /** Gives it back; from then on it may be removed. Twice does no harm. */
  release(): void;
}

export interface CodeEntry {
  readonly digest: string;
  readonly size: number;
  /** Takes that were not released. */
  readonly held: number;
  /** When it was last taken, epoch ms. */
  readonly usedAt: number;
  readonly onDisk: boolean;
  /** Accounts with V8 cached data of it. */
  readonly cachedFor: readonly string[];
}

/** Cumulative since the cache was opened. */
export interface CodeCounts {
  readonly downloads: number;
  readonly downloadedBytes: number;
  readonly hits: number;
  /** Files whose content did not have their digest; each was fetched again. */
  readonly corrupt: number;
  readonly evicted: number;
  /** Writes and reads that the disk refused; the code was then served from memory. */
  readonly diskFailures: number;
  /** Now on disk, with cached data. */
  readonly bytes: number;
}

export interface CodeCache {
  /** Holds the code of a digest, from memory, disk or, once for all that ask meanwhile, the store. Rejects with Fault CodeUnavailable or NotFound. */
  take(digest: string): Promise<TakenCode>;
  /** True when a take needs no download, as far as is known without looking at the disk. */
  has(digest: string): boolean;
  /**
   * V8 cached data that a container of this very account made. Never of another account: it comes out of a container,
   * and running cached data is running code.
   */
  cached(digest: string, account: string): Promise<Uint8Array | undefined>;
  /** Keeps cached data (copied) for later containers of the account; ignored when too large or when the code is not here. */
  keepCached(digest: string, account: string, data: Uint8Array): Promise<void>;
  list(): readonly CodeEntry[];
  counts(): CodeCounts;
}
