/** `context.kv` on a KV bucket: each account below its own prefix, keys encoded so that any text is one token. */
import type { DataStore } from "../../actors/host/ports.ts";
import type { Bucket } from "../../actors/kit/ports.ts";

export function openDataStore(bucket: Bucket<unknown>): DataStore {
  const keyOf = (account: string, key: string) => `${account}.${Buffer.from(key, "utf8").toString("base64url")}`;
  return {
    async get(account, key) {
      const stored = await bucket.get(keyOf(account, key));
      return stored === undefined ? undefined : (stored.value as Uint8Array);
    },
    async put(account, key, value) {
      await bucket.put(keyOf(account, key), value);
    },
    async delete(account, key) {
      await bucket.remove(keyOf(account, key));
    },
  };
}
