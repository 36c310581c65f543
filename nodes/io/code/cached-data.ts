/**
 * V8 cached data beside the code files, one per digest and account: `<digest>.<account>.v8`, sha256 before the data.
 *
 * V1  Data of one account is never given to another: it was made inside a container, and running it is running code.
 * V2  Data read from disk has the hash that was written with it; V8 itself does not check its content.
 */
import { readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { LIMITS } from "../../../protocol/limits.ts";
import { isName } from "../../../protocol/names.ts";
import { sha256 } from "../bundle/bundle.ts";
import type { Memory } from "./memory.ts";

const HASH = 64;
const FILE = /^([0-9a-f]{64})\.([a-z0-9][a-z0-9_-]{0,62})\.v8$/;

export interface CachedDataOptions {
  readonly directory: string;
  readonly memory: Memory;
  failed(what: string, thrown: unknown): void;
  /** Writes a file whole or not at all. */
  write(file: string, bytes: Uint8Array): Promise<void>;
}

export interface CachedData {
  /** Takes over the files of code that is `known`, removes the others. */
  adopt(known: (digest: string) => boolean): Promise<void>;
  get(digest: string, account: string): Promise<Uint8Array | undefined>;
  keep(digest: string, account: string, data: Uint8Array): Promise<void>;
  accounts(digest: string): readonly string[];
  forget(digest: string): Promise<void>;
  /** Bytes on disk. */
  bytes(): number;
}

export function openCachedData({ directory, memory, failed, write }: CachedDataOptions): CachedData {
  /** Sizes of the files, by digest and account. */
  const files = new Map<string, Map<string, number>>();
  let total = 0;
  const fileOf = (digest: string, account: string): string => join(directory, `${digest}.${account}.v8`);
  const keyOf = (digest: string, account: string): string => `${digest}.${account}`;

  function note(digest: string, account: string, size: number): void {
    const accounts = files.get(digest) ?? new Map<string, number>();
    total += size - (accounts.get(account) ?? 0);
    accounts.set(account, size);
    files.set(digest, accounts);
  }

  async function remove(digest: string, account: string): Promise<void> {
    const accounts = files.get(digest);
    total -= accounts?.get(account) ?? 0;
    accounts?.delete(account);
    if (accounts?.size === 0) files.delete(digest);
    memory.delete(keyOf(digest, account));
    await rm(fileOf(digest, account), { force: true }).catch((thrown: unknown) => failed("remove cached data", thrown));
  }

  return {
    async adopt(known) {
      for (const name of await readdir(directory)) {
        const [, digest, account] = FILE.exec(name) ?? [];
        if (digest === undefined || account === undefined) continue;
        const info = await stat(join(directory, name)).catch(() => undefined);
        if (info === undefined) continue;
        note(digest, account, info.size);
        if (!known(digest)) await remove(digest, account);
      }
    },
    async get(digest, account) {
      const kept = memory.get(keyOf(digest, account));
      if (kept !== undefined || files.get(digest)?.has(account) !== true) return kept;
      try {
        const bytes = await readFile(fileOf(digest, account));
        const data = bytes.subarray(HASH);
        if (sha256(data) === bytes.subarray(0, HASH).toString("latin1")) {
          memory.set(keyOf(digest, account), data);
          return data;
        }
      } catch (thrown) {
        failed("read cached data", thrown);
      }
      await remove(digest, account);
      return undefined;
    },
    async keep(digest, account, data) {
      if (!isName(account) || data.length === 0 || data.length > LIMITS.cachedData.value) return;
      const whole = Buffer.concat([Buffer.from(sha256(data), "latin1"), data]);
      memory.set(keyOf(digest, account), whole.subarray(HASH));
      try {
        await write(fileOf(digest, account), whole);
        note(digest, account, whole.length);
      } catch (thrown) {
        failed("keep cached data", thrown);
      }
    },
    accounts: (digest) => [...(files.get(digest)?.keys() ?? [])].sort(),
    async forget(digest) {
      await Promise.all([...(files.get(digest)?.keys() ?? [])].map((account) => remove(digest, account)));
    },
    bytes: () => total,
  };
}
