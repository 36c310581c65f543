/** The Bucket port in memory: revisions, compare-and-set and watches as a KV bucket has them, and faults on demand. */
import type { Bucket, Stored } from "../../actors/kit/ports.ts";
import { decode, encode } from "../../protocol/codec.ts";
import { Fault } from "../../protocol/errors.ts";

type Operation = "get" | "create" | "update" | "put" | "remove";

export class MemoryBucket<T> implements Bucket<T> {
  readonly #rows = new Map<string, { bytes: Uint8Array; revision: number }>();
  readonly #watchers = new Set<(key: string, value: T | undefined, revision: number) => void>();
  #revision = 0;
  #held: (() => void)[] | undefined;
  /** Runs before each operation; what it throws is the operation's rejection. May be replaced, may wait. */
  before: (operation: Operation, key: string) => void | Promise<void> = () => undefined;
  /** How often each operation was asked for. */
  readonly counts: Record<Operation, number> = { get: 0, create: 0, update: 0, put: 0, remove: 0 };

  /** Keys that are present, sorted. */
  keys(): string[] {
    return [...this.#rows.keys()].sort();
  }

  /** Keeps changes from the watchers until `releaseWatches`, as a slow line would. */
  holdWatches(): void {
    this.#held ??= [];
  }

  releaseWatches(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const tell of held) queueMicrotask(tell);
  }

  async get(key: string): Promise<Stored<T> | undefined> {
    await this.#start("get", key);
    const row = this.#rows.get(key);
    return row && { key, value: decode(row.bytes) as T, revision: row.revision };
  }

  async create(key: string, value: T): Promise<number> {
    await this.#start("create", key);
    if (this.#rows.has(key)) throw new Fault("Conflict", `${key} exists`);
    return this.#write(key, value);
  }

  async update(key: string, value: T, revision: number): Promise<number> {
    await this.#start("update", key);
    if (this.#rows.get(key)?.revision !== revision) throw new Fault("Conflict", `${key} was changed`);
    return this.#write(key, value);
  }

  async put(key: string, value: T): Promise<number> {
    await this.#start("put", key);
    return this.#write(key, value);
  }

  async remove(key: string, revision?: number): Promise<void> {
    await this.#start("remove", key);
    if (revision !== undefined && this.#rows.get(key)?.revision !== revision) throw new Fault("Conflict", `${key} was changed`);
    this.#rows.delete(key);
    this.#tell(key, undefined, ++this.#revision);
  }

  async watch(listener: (key: string, value: T | undefined, revision: number) => void): Promise<{ stop(): void }> {
    await Promise.resolve();
    const rows = [...this.#rows].sort(([, a], [, b]) => a.revision - b.revision);
    for (const [key, row] of rows) listener(key, decode(row.bytes) as T, row.revision);
    this.#watchers.add(listener);
    return { stop: () => void this.#watchers.delete(listener) };
  }

  async #start(operation: Operation, key: string): Promise<void> {
    this.counts[operation]++;
    await this.before(operation, key);
    if (!/^[-/_=a-zA-Z0-9]+(\.[-/_=a-zA-Z0-9]+)*$/.test(key)) throw new Fault("BadRequest", `"${key}" is no key`);
  }

  #write(key: string, value: T): number {
    const bytes = encode(value).slice();
    this.#rows.set(key, { bytes, revision: ++this.#revision });
    this.#tell(key, bytes, this.#revision);
    return this.#revision;
  }

  #tell(key: string, bytes: Uint8Array | undefined, revision: number): void {
    for (const watcher of this.#watchers) {
      const tell = (): void => {
        if (this.#watchers.has(watcher)) watcher(key, bytes && (decode(bytes) as T), revision);
      };
      if (this.#held) this.#held.push(tell);
      else queueMicrotask(tell);
    }
  }
}
