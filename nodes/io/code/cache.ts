/**
 * The code of a host: files by digest in one directory, bounded in bytes, small ones in memory too.
 *
 * H1  What is handed out has its digest: checked after each download, and for a file at its first use in this process.
 * H2  One download per digest at a time, however many ask.
 * H3  What is held is never removed; the bound may be passed by what is held, and by no more.
 * H4  A disk that refuses, or is slow, costs no answers: code is then served from memory, and `trouble` is told of a refusal.
 */
import { chmod, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { CodeCache, CodeCounts, TakenCode } from "../../../actors/host/code.ts";
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { sha256 } from "../bundle/bundle.ts";
import { openCachedData } from "./cached-data.ts";
import { openMemory } from "./memory.ts";

export interface CodeCacheOptions {
  /** Owned by the cache; made where needed. */
  readonly directory: string;
  /** Bound of the files together; LIMITS.codeCache in production. */
  readonly limitBytes: number;
  /** Bound of what is in memory; LIMITS.codeInMemory by default. */
  readonly memoryBytes?: number;
  /** Gets code that is not here. Its rejection goes to all that wait for the digest. */
  fetch(digest: string): Promise<Uint8Array>;
  /** Epoch ms. */
  now(): number;
  /** Told in a sentence when the disk begins to refuse: once until it takes something again. */
  trouble?(message: string): void;
}

interface Entry {
  readonly digest: string;
  size: number;
  usedAt: number;
  held: number;
  onDisk: boolean;
  /** Its content was compared with its digest in this process. */
  checked: boolean;
  /** Code that is not on disk lives here, outside the bound of the memory, while it is held. */
  whole?: Uint8Array;
}

const DIGEST = /^[0-9a-f]{64}$/;

/** Adopts the files that are there. Never rejects for a disk that refuses (H4). */
export async function openCodeCache(options: CodeCacheOptions): Promise<CodeCache> {
  const { directory, limitBytes, fetch, now } = options;
  // In the order of their last use, the oldest first.
  const entries = new Map<string, Entry>();
  const coming = new Map<string, Promise<{ entry: Entry; bytes: Uint8Array | undefined; downloaded: boolean }>>();
  /** Takes under way by digest: from their first moment on the code may not be removed. */
  const transit = new Map<string, number>();
  /** Removals under way: a download of the same digest waits, or its new file would be removed. */
  const leaving = new Map<string, Promise<void>>();
  const memory = openMemory(options.memoryBytes ?? LIMITS.codeInMemory.value);
  const count = { downloads: 0, downloadedBytes: 0, hits: 0, corrupt: 0, evicted: 0, diskFailures: 0 };
  let fileBytes = 0;
  let temporary = 0;
  let isRefusing = false;
  const fileOf = (digest: string): string => join(directory, digest);
  const failed = (what: string, thrown: unknown): void => {
    count.diskFailures += 1;
    if (isRefusing) return;
    isRefusing = true;
    options.trouble?.(
      `The code cache ${directory} could not ${what}: ${thrown instanceof Error ? thrown.message : String(thrown)}. Code is served from memory.`,
    );
  };
  const cachedData = openCachedData({ directory, memory, failed, write });

  async function write(file: string, bytes: Uint8Array): Promise<void> {
    const draft = join(directory, `tmp-${process.pid}-${temporary++}`);
    try {
      await writeFile(draft, bytes, { flag: "wx" });
      // Containers see it by hard link.
      await chmod(draft, 0o444);
      await rename(draft, file);
      isRefusing = false;
    } catch (thrown) {
      await rm(draft, { force: true }).catch(() => undefined);
      throw thrown;
    }
  }

  async function adopt(): Promise<void> {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const found: Entry[] = [];
    for (const name of await readdir(directory)) {
      if (name.startsWith("tmp-")) await rm(join(directory, name), { force: true });
      else if (DIGEST.test(name)) {
        const info = await stat(fileOf(name)).catch(() => undefined);
        if (info?.isFile()) found.push({ digest: name, size: info.size, usedAt: info.mtimeMs, held: 0, onDisk: true, checked: false });
      }
    }
    for (const entry of found.sort((a, b) => a.usedAt - b.usedAt)) {
      entries.set(entry.digest, entry);
      fileBytes += entry.size;
    }
    await cachedData.adopt((digest) => entries.has(digest));
  }

  /** The books are settled at once; the files go later. */
  function forget(entry: Entry): Promise<void> {
    const { digest, onDisk } = entry;
    entries.delete(digest);
    memory.delete(digest);
    if (onDisk) fileBytes -= entry.size;
    const removal = Promise.all([
      cachedData.forget(digest),
      onDisk ? rm(fileOf(digest), { force: true }).catch((thrown: unknown) => failed("remove a file", thrown)) : undefined,
    ]).then(() => void leaving.delete(digest));
    leaving.set(digest, removal);
    return removal;
  }

  const isHere = (entry: Entry): boolean => entry.onDisk || entry.whole !== undefined || memory.has(entry.digest);

  async function makeRoom(): Promise<void> {
    for (const entry of entries.values()) {
      const over = fileBytes + cachedData.bytes() > limitBytes;
      if ((!over && isHere(entry)) || entry.held > 0 || transit.has(entry.digest)) continue;
      if (over) count.evicted += 1;
      await forget(entry);
    }
  }

  /** The bytes of a file that is here, if they are right. Undefined: fetch it again. */
  async function fromDisk(entry: Entry): Promise<Uint8Array | undefined> {
    try {
      const bytes = await readFile(fileOf(entry.digest));
      if (sha256(bytes) === entry.digest) return bytes;
      count.corrupt += 1;
    } catch (thrown) {
      failed("read a file", thrown);
    }
    return undefined;
  }

  async function download(digest: string, held: Entry | undefined): Promise<{ entry: Entry; bytes: Uint8Array; downloaded: true }> {
    const bytes = await fetch(digest);
    if (sha256(bytes) !== digest) throw new Fault("CodeUnavailable", `The code ${digest} came with another content.`);
    count.downloads += 1;
    count.downloadedBytes += bytes.length;
    const entry: Entry = held ?? { digest, size: bytes.length, usedAt: now(), held: 0, onDisk: false, checked: true };
    // A damaged file may have had another size.
    if (entry.onDisk) fileBytes -= entry.size;
    entry.onDisk = false;
    entry.size = bytes.length;
    entry.checked = true;
    entry.whole = bytes;
    entries.set(digest, entry);
    const kept = keepFile(entry, bytes);
    // Large code is used as a file. Small code is sent from memory: whoever waits for it does not wait for the disk.
    if (entry.size > LIMITS.codeSmall.value) await kept;
    return { entry, bytes, downloaded: true };
  }

  /** Held until it is written. Never rejects (H4). */
  async function keepFile(entry: Entry, bytes: Uint8Array): Promise<void> {
    entry.held += 1;
    try {
      await write(fileOf(entry.digest), bytes);
      // Two downloads of one digest may be written at a time, when the memory had no room for the first.
      if (!entry.onDisk) fileBytes += entry.size;
      entry.onDisk = true;
      delete entry.whole;
    } catch (thrown) {
      failed("keep a file", thrown);
    }
    letGo(entry);
  }

  function letGo(entry: Entry): void {
    entry.held -= 1;
    if (entry.held === 0) {
      // Code without a file stays only as far as the memory has room for it.
      if (entry.whole !== undefined) memory.set(entry.digest, entry.whole);
      delete entry.whole;
    }
    void makeRoom();
  }

  async function bring(digest: string): Promise<{ entry: Entry; bytes: Uint8Array | undefined; downloaded: boolean }> {
    await leaving.get(digest);
    const entry = entries.get(digest);
    if (entry === undefined) return download(digest, undefined);
    const bytes = memory.get(digest) ?? entry.whole;
    if (bytes !== undefined) return { entry, bytes, downloaded: false };
    if (!entry.onDisk) return download(digest, entry);
    const large = entry.size > LIMITS.codeSmall.value;
    if (large && entry.checked && (await isThere(fileOf(digest), entry.size))) return { entry, bytes: undefined, downloaded: false };
    const read = await fromDisk(entry);
    if (read === undefined) return download(digest, entry);
    entry.checked = true;
    return { entry, bytes: large ? undefined : read, downloaded: false };
  }

  async function take(digest: string): Promise<TakenCode> {
    if (!DIGEST.test(digest)) throw new Fault("BadRequest", "A digest is 64 hexadecimal digits in lower case.");
    transit.set(digest, (transit.get(digest) ?? 0) + 1);
    try {
      const { entry, bytes, downloaded } = await together(digest);
      entry.held += 1;
      entry.usedAt = now();
      entries.delete(digest);
      entries.set(digest, entry);
      if (!downloaded) count.hits += 1;
      if (entry.size <= LIMITS.codeSmall.value && bytes !== undefined) memory.set(digest, bytes);
      return hold(entry, bytes, downloaded);
    } finally {
      const left = (transit.get(digest) ?? 1) - 1;
      if (left > 0) transit.set(digest, left);
      else transit.delete(digest);
      void makeRoom();
    }
  }

  function together(digest: string) {
    const under = coming.get(digest);
    if (under !== undefined) return under;
    const work = bring(digest).finally(() => coming.delete(digest));
    coming.set(digest, work);
    return work;
  }

  function hold(entry: Entry, bytes: Uint8Array | undefined, downloaded: boolean): TakenCode {
    const { digest } = entry;
    const small = entry.size <= LIMITS.codeSmall.value;
    let released = false;
    return {
      digest,
      size: entry.size,
      downloaded,
      ...(entry.onDisk && { path: fileOf(digest) }),
      ...(bytes !== undefined && (small || !entry.onDisk) && { bytes }),
      release() {
        if (released) return;
        released = true;
        letGo(entry);
      },
    };
  }

  await adopt().catch((thrown: unknown) => failed("be opened", thrown));
  await makeRoom();

  return {
    take,
    has(digest) {
      const entry = entries.get(digest);
      return entry !== undefined && isHere(entry);
    },
    cached: (digest, account) => cachedData.get(digest, account),
    async keepCached(digest, account, data) {
      if (!entries.has(digest)) return;
      await cachedData.keep(digest, account, data);
      // The code may have been removed while the data was written.
      if (!entries.has(digest)) await cachedData.forget(digest);
      await makeRoom();
    },
    list: () =>
      [...entries.values()].map(({ digest, size, held, usedAt, onDisk }) => ({
        digest,
        size,
        held,
        usedAt,
        onDisk,
        cachedFor: cachedData.accounts(digest),
      })),
    counts: (): CodeCounts => ({ ...count, bytes: fileBytes + cachedData.bytes() }),
  };
}

async function isThere(file: string, size: number): Promise<boolean> {
  const info = await stat(file).catch(() => undefined);
  return info?.isFile() === true && info.size === size;
}
