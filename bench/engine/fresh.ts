/** Names and accounts that the platform has never seen, and the first call of a function in each. */
import type { Bundle } from "../../nodes/io/bundle/index.ts";
import type { RuntimeName } from "../../protocol/runtimes.ts";
import type { Platform, Settings, Traced } from "./platform.ts";

let count = 0;

/** Lower case, never the same twice in one process. */
export const freshName = (prefix: string): string => `${prefix}-${(count++).toString(36)}`;

/** A JSON body as the waiting handlers read it. */
export const waitBody = (waitMs: number): Uint8Array => new TextEncoder().encode(JSON.stringify({ waitMs }));

/** Class `rare`: no grant comes in between. An idle container goes soon, and its instance with it, to make room for the next. */
export const PASSING: Settings = { class: "rare", memoryMb: 64, keepAliveMs: 1_500 };

/** Deploys code into an account, runs `use`, and removes it whatever happens. */
export async function withFresh<T>(
  platform: Platform,
  account: string,
  code: Bundle | { readonly source: string; readonly runtime: RuntimeName },
  use: (name: string) => Promise<T>,
): Promise<T> {
  const name = freshName("fresh");
  await platform.deploy(account, name, code, PASSING);
  try {
    return await use(name);
  } finally {
    await platform.remove(account, name);
  }
}

/** True when the reply echoes what was sent. */
export function echoes({ body }: Traced): boolean {
  try {
    const value = JSON.parse(new TextDecoder().decode(body)) as { waitMs?: unknown };
    return typeof value.waitMs === "number";
  } catch {
    return false;
  }
}
