/** Deploy's second half: a bundle goes into the code store, then becomes the next version. */
import type { Bundle } from "../nodes/io/bundle/index.ts";
import type { Connected } from "../nodes/io/nats.ts";
import { LIMITS } from "../protocol/limits.ts";
import type { RuntimeName } from "../protocol/runtimes.ts";

export interface Publication {
  readonly account: string;
  readonly name: string;
  readonly environment?: Record<string, string>;
  readonly network?: boolean;
  readonly settings?: {
    readonly memoryMb?: number;
    readonly timeoutMs?: number;
    readonly keepAliveMs?: number;
    readonly class?: "busy" | "rare";
    readonly idempotent?: boolean;
    readonly containers?: number;
  };
}

/** `step` is told what begins. Rejects with the store's or the registry's Fault. */
export async function publish(platform: Connected, bundle: Bundle, order: Publication, step: (what: string) => void = () => undefined) {
  const [{ openCodeStore }, { deployFunction, listPools }] = await Promise.all([
    import("../nodes/io/code/store.ts"),
    import("./contracts.ts"),
  ]);
  // Before anything is stored: a broker that is not ours must stay as it was.
  const look = (limitMs?: number) => platform.bus.ask(listPools, [], {}, limitMs);
  // A question on its way to a node that dies, or over a connection that breaks, is lost; this one can be put again.
  await look(LIMITS.askAgain.value).catch(() => look());
  step("storing the code");
  const store = await openCodeStore(platform.nc);
  await store.put(bundle);
  step("making the version");
  const { account, name, environment, network, settings } = order;
  return platform.bus.ask(deployFunction, [], {
    account,
    name,
    runtime: bundle.runtime,
    handler: bundle.handler,
    digest: bundle.digest,
    bytes: bundle.code.length,
    hasMap: bundle.map !== undefined,
    ...(environment && { environment }),
    ...(network && { network }),
    ...(settings && { settings }),
  });
}

/** Deploys a text for as long as `use` runs, and removes it whatever happens. `use` gets what the deploy was answered. */
export async function withFunction<T>(
  platform: Connected,
  source: string,
  runtime: RuntimeName,
  order: Publication,
  use: (published: Awaited<ReturnType<typeof publish>>) => Promise<T>,
): Promise<T> {
  const [{ bundleSource }, { removeFunction }] = await Promise.all([import("../nodes/io/bundle/index.ts"), import("./contracts.ts")]);
  const published = await publish(platform, await bundleSource(source, runtime), order);
  try {
    return await use(published);
  } finally {
    await platform.bus.ask(removeFunction, [], { account: order.account, name: order.name });
  }
}
