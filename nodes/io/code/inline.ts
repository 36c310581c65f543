/** Code that came inside a request: bundled, kept an hour by digest, registered nowhere. */
import { createHash } from "node:crypto";
import type { NatsConnection } from "nats";
import { LIMITS } from "../../../protocol/limits.ts";
import type { RuntimeName } from "../../../protocol/runtimes.ts";
import { bundleSource } from "../bundle/index.ts";
import { openGate } from "./gate.ts";
import { openCodeStore } from "./store.ts";

export const INLINE_BUCKET = "pilot_inline";
const LIFE_MS = 3_600_000;
/** Sources whose digest is remembered; well below the life of what it names. */
const REMEMBERED = 256;
const REMEMBERED_MS = LIFE_MS / 2;

/** Gives the digest under which hosts find the bundle. Rejects with Fault BadCode, PayloadTooLarge, Throttled or CodeUnavailable. */
export async function openInlineCode(
  nc: NatsConnection,
): Promise<(source: string, runtime: RuntimeName, handler: string) => Promise<string>> {
  const store = await openCodeStore(nc, { bucket: INLINE_BUCKET, lifeMs: LIFE_MS });
  // Each costs a compiler its time and memory, and anybody may send them.
  const gate = openGate("sources of requests", LIMITS.inlineBundles.value, LIMITS.inlineWaiting.value, "inlineWaiting");
  const known = new Map<string, { readonly digest: Promise<string>; readonly until: number }>();
  return (source, runtime, handler) => {
    const key = createHash("sha256").update(`${runtime}\0${handler}\0${source}`).digest("hex");
    const before = known.get(key);
    if (before !== undefined && before.until > performance.now()) return before.digest;
    const digest = gate(async () => {
      const bundle = await bundleSource(source, runtime, handler);
      await store.put(bundle);
      return bundle.digest;
    });
    known.set(key, { digest, until: performance.now() + REMEMBERED_MS });
    digest.catch(() => known.delete(key));
    if (known.size > REMEMBERED) known.delete(known.keys().next().value as string);
    return digest;
  };
}
