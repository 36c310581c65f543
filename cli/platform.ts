/** The connection of a command: opened when the command needs it, closed whatever happens. */

import type { ConnectionSettings } from "../nodes/io/context.ts";
import type { Connected } from "../nodes/io/nats.ts";
import type { Request } from "../protocol/contract.ts";
import { type Cli, note } from "./context.ts";
import { Interrupted, Usage } from "./failure.ts";
import type { ConnectionValues } from "./flags.ts";
import { advised, unreachable } from "./reach.ts";

/**
 * Connects with the operator's rights where the context has them, runs `use`, and closes the connection.
 * Ctrl-C ends the command at once; with `follows`, `use` watches `cli.signal` itself.
 */
export async function connected<T>(
  cli: Cli,
  flags: ConnectionValues,
  use: (platform: Connected) => Promise<T>,
  follows = false,
): Promise<T> {
  const [settings, { connect }] = await Promise.all([settingsOf(cli, flags), import("../nodes/io/nats.ts")]);
  const node = `cli-${crypto.randomUUID().slice(0, 8)}`;
  const connecting = connect(settings, { name: "pilot", role: "operator", node });
  const platform = await Promise.race([connecting, interrupted(cli)]).catch((thrown: unknown) => {
    void connecting.then((late) => late.close()).catch(() => undefined);
    throw thrown instanceof Interrupted ? thrown : unreachable(thrown, settings);
  });
  try {
    return await Promise.race([use(platform), ...(follows ? [] : [interrupted(cli)])]);
  } catch (thrown) {
    throw thrown instanceof Interrupted || thrown instanceof Usage ? thrown : advised(thrown, settings);
  } finally {
    await platform.close();
  }
}

/** Where and as whom to connect, from flags, environment and contexts. */
export async function settingsOf(cli: Cli, flags: ConnectionValues): Promise<ConnectionSettings> {
  const { resolveConnection } = await import("../nodes/io/context.ts");
  return resolveConnection(flags, { ...cli.env });
}

/** Rejects with Interrupted at Ctrl-C. */
export async function interrupted(cli: Cli): Promise<never> {
  await whenInterrupted(cli);
  throw new Interrupted("interrupted");
}

/** Resolves at Ctrl-C. */
export function whenInterrupted({ signal }: Cli): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** One control request on a connection of its own. `pick` chooses the contract, so that contracts load only when needed. */
export async function ask<Q, R>(cli: Cli, flags: ConnectionValues, pick: (contracts: Contracts) => Request<[], Q, R>, body: Q): Promise<R> {
  const contract = pick(await import("./contracts.ts"));
  return connected(cli, flags, (platform) => platform.bus.ask(contract, [], body));
}

type Contracts = typeof import("./contracts.ts");

/** Says which nodes did not confirm a change in time. */
export function noteUnconfirmed(cli: Cli, unconfirmed: readonly string[]): void {
  if (unconfirmed.length === 0) return;
  note(cli, `pilot: not confirmed in time by ${unconfirmed.join(", ")}: they may answer as before for some seconds`);
}
