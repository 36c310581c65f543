/**
 * Provokes every rung, and the direct path, with one function. Each step sets the scene, calls, and looks at which
 * rung the platform says it was; nothing is assumed. Works in an account of its own, which it empties at the end.
 */

import type { Bundle } from "../../nodes/io/bundle/index.ts";
import type { Connected } from "../../nodes/io/nats.ts";
import { until } from "../../nodes/io/until.ts";
import { RUNGS } from "../../protocol/vocabulary.ts";
import { removeFunction, showFleet } from "../contracts.ts";
import { publish } from "../publish.ts";
import { type Placed, placedCall } from "./call.ts";
import type { Example } from "./example.ts";

/** How long a scene may take to be set. */
const SCENE_MS = 15_000;
/** A memory amount that no container of the tour has by itself. */
const OTHER_MB = "192";
/** More than any warm instance has: one of this size has to be booted. */
const LARGE_MB = "1088";

export type Wanted = (typeof RUNGS)[number] | "direct";

export interface Step {
  /** Undefined: a call that failed before it had a rung. */
  readonly wanted: Wanted | undefined;
  /** Undefined: it could not be provoked here. */
  readonly placed: Placed | undefined;
}

/** One step per rung and one for the direct path, cheapest last, then every call that went wrong without being placed. Rejects only when the platform itself fails. */
export async function climb(platform: Connected, example: Example, bundle: Bundle, signal: AbortSignal): Promise<Step[]> {
  const account = `tour-${example.name}`;
  const again = `${example.name}-again`;
  const seen: Placed[] = [];
  const call = async (name = example.name, headers: Record<string, string> = {}): Promise<Placed> => {
    const placed = await placedCall(platform, example, { account, name, headers, signal });
    seen.push(placed);
    return placed;
  };
  const deployed: string[] = [];
  const deploy = async (name: string): Promise<void> => {
    deployed.push(name);
    const environment = example.environment;
    await publish(platform, bundle, { account, name, ...(environment && { environment }) });
  };
  try {
    await deploy(example.name);
    await warmInstance(platform, bundle.runtime, signal);
    await call();
    await call();
    // Another amount of memory needs another container, and the code is on the instance by now.
    await call(example.name, { "Pilot-Memory": OTHER_MB });
    await deploy(again);
    await call(again);
    await until(
      async () => ((await call()).path === "direct" ? true : undefined),
      SCENE_MS,
      () => signal.aborted,
    );
    await call(example.name, { "Pilot-Memory": LARGE_MB });
  } finally {
    for (const name of deployed) await platform.bus.ask(removeFunction, [], { account, name }).catch(() => undefined);
  }
  const steps = [...[...RUNGS].reverse(), "direct" as const].map((wanted) => ({ wanted, placed: bestOf(seen, wanted) }));
  const lost = seen.filter(({ rung, wrong }) => wrong !== undefined && !RUNGS.some((known) => known === rung));
  return [...steps, ...lost.map((placed) => ({ wanted: undefined, placed }))];
}

/** The quickest call of that kind; a wrong answer counts before a quick one, so that it is seen. */
function bestOf(seen: readonly Placed[], wanted: Wanted): Placed | undefined {
  const fitting = seen.filter(({ rung, path }) => (wanted === "direct" ? path === "direct" : rung === wanted && path !== "direct"));
  const wrong = fitting.find((placed) => placed.wrong !== undefined);
  return wrong ?? fitting.sort((a, b) => a.totalMs - b.totalMs)[0];
}

/** Waits until an instance of the runtime is warm; after the limit the call goes on as it may. */
export async function warmInstance(platform: Connected, runtime: string, signal: AbortSignal): Promise<void> {
  await until(
    async () => {
      const { hosts } = await platform.bus.ask(showFleet, [], {});
      const warm = hosts.some(({ instances }) => instances.some((one) => one.runtime === runtime && one.state === "warm"));
      return warm ? true : undefined;
    },
    SCENE_MS,
    () => signal.aborted,
  );
}
