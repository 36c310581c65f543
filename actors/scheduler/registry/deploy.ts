/**
 * Deploying: the next version of a function, and its live alias on it.
 *
 * D1  A version number is claimed by creating its record, before the function names it: two deploys at once get two numbers.
 * D2  A number is never given twice, also not after the function was removed: hosts know code by account, function and version.
 * D3  The live alias points at the newest version that is deployed, whoever of two writes last.
 */
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { LIVE_ALIAS } from "../../../protocol/names.ts";
import type { RuntimeName } from "../../../protocol/runtimes.ts";
import type { FunctionRecord, VersionRecord } from "../../../protocol/vocabulary.ts";
import type { Stored } from "../../kit/ports.ts";
import { functionKey, versionKey } from "../../kit/registry.ts";
import { ensureAccount } from "./accounts.ts";
import { surplus } from "./aliases.ts";
import { confirm } from "./confirm.ts";
import type { RegistryPorts } from "./ports.ts";
import { checkEnvironment, defaultSettings, mergeSettings, type SettingsChange } from "./settings.ts";
import { forgetVersions } from "./versions.ts";
import { change, isConflict } from "./write.ts";

/** A deploy as the contract has it. */
export interface Deploy {
  readonly account: string;
  readonly name: string;
  readonly runtime: RuntimeName;
  readonly handler: string;
  readonly digest: string;
  readonly bytes: number;
  readonly hasMap: boolean;
  readonly environment?: Readonly<Record<string, string>> | undefined;
  readonly network?: boolean | undefined;
  readonly settings?: SettingsChange | undefined;
}

export interface Deployed {
  readonly function: FunctionRecord;
  readonly version: VersionRecord;
  readonly unconfirmed: string[];
}

/**
 * Faults: BadRequest, BundleTooLarge, Throttled, NotAllowed, CodeUnavailable when the code is not in the store, Conflict when others keep
 * changing the function; after Unavailable the version may be live or not.
 */
export async function deploy(ports: RegistryPorts, order: Deploy): Promise<Deployed> {
  checkEnvironment(order.environment ?? {});
  if (order.bytes > LIMITS.bundle.value)
    throw new Fault("BundleTooLarge", `the code has ${order.bytes} bytes, at most ${LIMITS.bundle.value} are allowed`);
  if (!(await ports.hasCode(order.digest))) throw new Fault("CodeUnavailable", `the code ${order.digest} is not in the code store`);
  const account = await ensureAccount(ports, order.account);
  const key = functionKey(order.account, order.name);
  let version: VersionRecord | undefined;
  let dropped: readonly number[] = [];
  let written: Stored<FunctionRecord>;
  try {
    written = await change(ports.functions, key, async (now) => {
      const settings = mergeSettings(now?.settings ?? defaultSettings(account.value), order.settings ?? {}, account.value);
      version ??= await claim(ports, order, now?.newest ?? (await ports.removed.get(key))?.value ?? 0);
      const next = withVersion(now, order, version.version, ports.clock.epoch());
      const { kept, removed } = surplus(next.versions, next.aliases, LIMITS.versions.value);
      dropped = removed;
      return { ...next, settings, versions: kept };
    });
  } catch (thrown) {
    // Only where it is certain that the function does not name it.
    if (version && thrown instanceof Fault && thrown.fault === "caller")
      await forgetVersions(ports, order.account, order.name, [version.version]);
    throw thrown;
  }
  if (!version) throw new Fault("Internal", `${key} was written without a version`);
  const unconfirmed = await confirm(ports, {
    function: { key, revision: written.revision, record: written.value },
    account: { key: order.account, revision: account.revision, record: account.value },
    version,
  });
  await forgetVersions(ports, order.account, order.name, dropped);
  ports.log.info("deployed", { function: key, version: version.version, digest: order.digest, unconfirmed });
  return { function: written.value, version, unconfirmed };
}

/** Creates the record of the first free number above `after`. */
async function claim(ports: RegistryPorts, order: Deploy, after: number): Promise<VersionRecord> {
  const { account, name, runtime, handler, digest, bytes, hasMap } = order;
  for (let tries = 1; tries <= LIMITS.versions.value; tries++) {
    const record: VersionRecord = {
      account,
      name,
      version: after + tries,
      runtime,
      handler,
      digest,
      bytes,
      hasMap,
      environment: order.environment ?? {},
      network: order.network ?? false,
      createdAt: ports.clock.epoch(),
    };
    try {
      await ports.versions.create(versionKey(account, name, record.version), record);
      return record;
    } catch (thrown) {
      if (!isConflict(thrown)) throw thrown;
    }
  }
  throw new Fault("Throttled", `${LIMITS.versions.value} deploys of ${account}.${name} are under way`);
}

function withVersion(now: FunctionRecord | undefined, order: Deploy, version: number, at: number): Omit<FunctionRecord, "settings"> {
  const newest = Math.max(now?.newest ?? 0, version);
  // A deploy that was overtaken by a newer one leaves the alias where that put it.
  const live = newest === version || now === undefined ? { [LIVE_ALIAS]: [{ version, weight: 100 }] } : {};
  return {
    account: order.account,
    name: order.name,
    aliases: { ...now?.aliases, ...live },
    newest,
    versions: [...(now?.versions ?? []), version].sort((a, b) => a - b),
    createdAt: now?.createdAt ?? at,
    changedAt: at,
  };
}
