/** Listing, showing, changing and removing functions. */
import { encode } from "../../../protocol/codec.ts";
import { Fault } from "../../../protocol/errors.ts";
import { BODY_LIMIT } from "../../../protocol/limits.ts";
import type { AliasShare, FunctionRecord, VersionRecord } from "../../../protocol/vocabulary.ts";
import { functionKey } from "../../kit/registry.ts";
import { withAlias } from "./aliases.ts";
import { confirm } from "./confirm.ts";
import type { RegistryPorts } from "./ports.ts";
import { mergeSettings, type SettingsChange } from "./settings.ts";
import { forgetVersions, newestVersions } from "./versions.ts";
import { change, retried } from "./write.ts";

export interface Which {
  readonly account: string;
  readonly name: string;
}

export interface FunctionWritten {
  readonly function: FunctionRecord;
  readonly unconfirmed: string[];
}

/** Sorted by account and name. Throws PayloadTooLarge when they do not fit into one message. */
export function listFunctions(ports: RegistryPorts, account: string | undefined): { readonly functions: FunctionRecord[] } {
  const functions = [...ports.registry.functions()].filter((record) => account === undefined || record.account === account);
  const keyed = functions.map((record) => ({ record, key: functionKey(record.account, record.name) }));
  keyed.sort((a, b) => (a.key < b.key ? -1 : 1));
  const list = { functions: keyed.map(({ record }) => record) };
  if (encode(list).length > BODY_LIMIT) {
    throw new Fault("PayloadTooLarge", `${functions.length} functions do not fit into one message: list those of one account`);
  }
  return list;
}

/** Read from the leader. Throws FunctionNotFound. */
export async function showFunction(
  ports: RegistryPorts,
  which: Which,
): Promise<{ readonly function: FunctionRecord; readonly versions: VersionRecord[] }> {
  const stored = await ports.functions.get(functionKey(which.account, which.name));
  if (!stored) throw absent(which);
  return { function: stored.value, versions: await newestVersions(ports, stored.value) };
}

/** Faults: FunctionNotFound, NotAllowed, Conflict. */
export async function setFunction(ports: RegistryPorts, which: Which, wanted: SettingsChange): Promise<FunctionWritten> {
  const account = (await ports.accounts.get(which.account))?.value;
  return rewrite(ports, which, (now) => ({ ...now, settings: mergeSettings(now.settings, wanted, account) }));
}

/** Faults: FunctionNotFound, NotFound, BadName, BadRequest, Conflict. */
export async function setAlias(
  ports: RegistryPorts,
  which: Which,
  alias: string,
  shares: readonly AliasShare[] | null,
): Promise<FunctionWritten> {
  return rewrite(ports, which, (now) => ({ ...now, aliases: withAlias(now, alias, shares) }));
}

/** Code objects stay: other functions may have the same digest. Faults: Conflict. */
export async function removeFunction(
  ports: RegistryPorts,
  which: Which,
): Promise<{ readonly removed: boolean; readonly unconfirmed: string[] }> {
  const key = functionKey(which.account, which.name);
  const gone = await retried(key, async () => {
    const stored = await ports.functions.get(key);
    if (!stored) return undefined;
    await change(ports.removed, key, (highest) => Math.max(highest ?? 0, stored.value.newest));
    await ports.functions.remove(key, stored.revision);
    return stored;
  });
  if (!gone) return { removed: false, unconfirmed: [] };
  // The removal's own revision is at least that, and that of anything deployed later is higher still.
  const unconfirmed = await confirm(ports, { function: { key, revision: gone.revision + 1, record: null } });
  await forgetVersions(ports, which.account, which.name, gone.value.versions);
  ports.log.info("removed", { function: key, unconfirmed });
  return { removed: true, unconfirmed };
}

async function rewrite(ports: RegistryPorts, which: Which, next: (now: FunctionRecord) => FunctionRecord): Promise<FunctionWritten> {
  const key = functionKey(which.account, which.name);
  const written = await change(ports.functions, key, (now) => {
    if (!now) throw absent(which);
    return { ...next(now), changedAt: ports.clock.epoch() };
  });
  const unconfirmed = await confirm(ports, { function: { key, revision: written.revision, record: written.value } });
  return { function: written.value, unconfirmed };
}

const absent = (which: Which): Fault => new Fault("FunctionNotFound", `there is no function ${which.name} in account ${which.account}`);
