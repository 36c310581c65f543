/** Byte arrays by key, bounded in bytes together; the least recently used go first. */

export interface Memory {
  get(key: string): Uint8Array | undefined;
  has(key: string): boolean;
  /** What is larger than the whole bound is not kept. */
  set(key: string, bytes: Uint8Array): void;
  delete(key: string): void;
  bytes(): number;
}

export function openMemory(limitBytes: number): Memory {
  // A Map iterates in the order of insertion: the first is the least recently used.
  const kept = new Map<string, Uint8Array>();
  let total = 0;
  const drop = (key: string): void => {
    total -= kept.get(key)?.length ?? 0;
    kept.delete(key);
  };
  return {
    get(key) {
      const bytes = kept.get(key);
      if (bytes === undefined) return undefined;
      kept.delete(key);
      kept.set(key, bytes);
      return bytes;
    },
    has: (key) => kept.has(key),
    set(key, bytes) {
      drop(key);
      if (bytes.length > limitBytes) return;
      kept.set(key, bytes);
      total += bytes.length;
      for (const oldest of kept.keys()) {
        if (total <= limitBytes) return;
        drop(oldest);
      }
    },
    delete: drop,
    bytes: () => total,
  };
}
