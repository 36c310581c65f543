/** Which version of a function a call means. */
import { Fault } from "../../protocol/errors.ts";
import { isVersion, LIVE_ALIAS } from "../../protocol/names.ts";
import type { AliasShare, FunctionRecord } from "../../protocol/vocabulary.ts";
import type { Random } from "./ports.ts";

/**
 * The version behind a qualifier: a version number, an alias, or undefined for the live alias. Of a weighted alias each
 * version comes up in the share of its weight; only then is `random` asked. Throws Fault FunctionNotFound when there is
 * no such version or alias.
 */
export function resolveAlias(record: FunctionRecord, qualifier: string | undefined, random: Random): number {
  if (qualifier !== undefined && isVersion(qualifier)) {
    const version = Number(qualifier);
    if (record.versions.includes(version)) return version;
    throw missing(record, `version ${version}`);
  }
  const alias = qualifier ?? LIVE_ALIAS;
  const shares = sharesOf(record, alias);
  const [first] = shares;
  if (first === undefined) throw missing(record, `alias ${alias}`);
  return shares.length === 1 ? first.version : drawn(shares, random, first.version);
}

/** True when every call of the alias goes to one version, so that no decision is needed. */
export function isSingle(record: FunctionRecord, alias: string = LIVE_ALIAS): boolean {
  return sharesOf(record, alias).length === 1;
}

/** Names such as `constructor` are names: only what the record itself has counts. */
function sharesOf(record: FunctionRecord, alias: string): readonly AliasShare[] {
  return (Object.hasOwn(record.aliases, alias) && record.aliases[alias]) || [];
}

function drawn(shares: readonly AliasShare[], random: Random, otherwise: number): number {
  let left = random.next() * shares.reduce((sum, share) => sum + share.weight, 0);
  for (const share of shares) {
    left -= share.weight;
    if (left < 0) return share.version;
  }
  return otherwise; // only rounding comes here
}

function missing(record: FunctionRecord, what: string): Fault {
  return new Fault("FunctionNotFound", `function ${record.account}.${record.name} has no ${what}`);
}
