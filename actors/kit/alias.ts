/** Which version of a function a call means. */
import { Fault } from "../../protocol/errors.ts";
import { isVersion, LIVE_ALIAS } from "../../protocol/names.ts";
import type { FunctionRecord } from "../../protocol/vocabulary.ts";

/**
 * The version behind a qualifier: a version number, an alias, or undefined for the live alias. Of a weighted alias each version comes up
 * in the share of its weight; `random` (uniform in [0, 1)) is asked only then. Gives FunctionNotFound when there is no such version or alias.
 */
export function resolveAlias(record: FunctionRecord, qualifier: string | undefined, random: () => number): number | Fault {
  if (qualifier !== undefined && isVersion(qualifier)) {
    const version = Number(qualifier);
    return record.versions.includes(version) ? version : missing(record, `version ${version}`);
  }
  const alias = qualifier ?? LIVE_ALIAS;
  const shares = Object.hasOwn(record.aliases, alias) ? record.aliases[alias] : undefined;
  const [first] = shares ?? [];
  if (shares === undefined || first === undefined) return missing(record, `alias ${alias}`);
  if (shares.length === 1) return first.version;
  const total = shares.reduce((sum, share) => sum + share.weight, 0);
  let left = random() * total;
  for (const share of shares) {
    left -= share.weight;
    if (left < 0) return share.version;
  }
  return first.version; // only rounding comes here
}

/** True when every call of the alias goes to one version, so that no decision is needed. */
export function isSingle(record: FunctionRecord, alias: string = LIVE_ALIAS): boolean {
  return Object.hasOwn(record.aliases, alias) && record.aliases[alias]?.length === 1;
}

function missing(record: FunctionRecord, what: string): Fault {
  return new Fault("FunctionNotFound", `function ${record.account}.${record.name} has no ${what}`);
}
