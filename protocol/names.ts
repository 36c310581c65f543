/**
 * Names of accounts, functions and aliases, and what a qualifier may be.
 * Everything a caller writes into a subject passes through here before it is believed.
 */

const NAME = /^[a-z0-9][a-z0-9_-]{0,62}$/;
const VERSION = /^[1-9][0-9]{0,8}$/;

/** The account that is used when nobody names one. */
export const DEFAULT_ACCOUNT = "main";

/** The alias behind a call without qualifier. `deploy` moves it to the new version. */
export const LIVE_ALIAS = "live";

/** True for 1–63 characters of `a-z 0-9 _ -`, starting with a letter or digit. */
export function isName(text: string): boolean {
  return NAME.test(text);
}

/** True for a decimal version number without leading zero, at most nine digits. */
export function isVersion(text: string): boolean {
  return VERSION.test(text);
}

/** The alias name is a name that cannot be mistaken for a version. */
export function isAlias(text: string): boolean {
  return isName(text) && !VERSION.test(text);
}

/** The sentence every refusal of a name ends with. */
export const NAME_RULE = "use 1 to 63 of a-z, 0-9, _ and -, starting with a letter or digit";

/**
 * The key under which containers of one code and size are interchangeable:
 * `account.function.version@memoryMb`; inline code has its digest in place of the version.
 */
export function slotKey(account: string, name: string, version: number | string, memoryMb: number): string {
  return `${account}.${name}.${version}@${memoryMb}`;
}

/** Where the canaries of `pilot doctor` live; it is removed with them. */
export const DOCTOR_ACCOUNT = "pilot-doctor";
