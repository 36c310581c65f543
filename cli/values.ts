/** Reads the values of flags and arguments. Each throws Usage with what would be right. */
import ms from "ms";
import { LIMITS } from "../protocol/limits.ts";
import { isAlias, isName, isVersion, NAME_RULE } from "../protocol/names.ts";
import { RUNTIME_NAMES, type RuntimeName } from "../protocol/runtimes.ts";
import { NODE_ROLES, type NodeRole } from "../protocol/subjects.ts";
import { Usage } from "./failure.ts";

const shown = (text: string): string => JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);

/** An account, function or alias. */
export function name(text: string): string {
  if (!isName(text)) throw new Usage(`${shown(text)} is not a name: ${NAME_RULE}`);
  return text;
}

/** An alias: a name that is not a number. */
export function alias(text: string): string {
  if (!isAlias(text)) throw new Usage(`${shown(text)} is not an alias: ${NAME_RULE}, and not a number`);
  return text;
}

/** A version number. */
function version(text: string): number {
  if (!isVersion(text)) throw new Usage(`${shown(text)} is not a version: use a number from 1`);
  return Number(text);
}

/** What `invoke` and others call: a function and, after `.` or `:`, an alias or version. */
export interface Target {
  readonly name: string;
  readonly qualifier: string | undefined;
}

export function target(text: string): Target {
  const [first = "", qualifier, ...rest] = text.split(/[.:]/);
  if (rest.length > 0) throw new Usage(`${shown(text)} is not NAME or NAME.QUALIFIER; the account is given with --account`);
  name(first);
  if (qualifier !== undefined && !isAlias(qualifier) && !isVersion(qualifier)) {
    throw new Usage(`${shown(qualifier)} is neither an alias nor a version: ${NAME_RULE}`);
  }
  return { name: first, qualifier };
}

const DURATION = /^\d+(?:\.\d+)?(?:ms|s|m|h|d)$/;

/** Milliseconds from 200ms, 30s, 2m, 1.5h. A bare number is refused: its unit would be a guess. */
export function duration(text: string): number {
  if (!DURATION.test(text)) throw new Usage(`${shown(text)} is not a duration: write for example 200ms, 30s or 2m`);
  const value = Math.round(ms(text as ms.StringValue));
  if (!Number.isSafeInteger(value)) throw new Usage(`${shown(text)} is too long`);
  return value;
}

/** A run time limit: a duration from 1 ms up to the longest that can be asked for. */
export function timeout(text: string): number {
  const value = duration(text);
  if (value < 1 || value > LIMITS.timeoutMax.value)
    throw new Usage(`${shown(text)} is not a time limit: from 1ms to ${ms(LIMITS.timeoutMax.value)}`);
  return value;
}

/** Whole megabytes; 256, 256MB and 1GB are read. */
export function memory(text: string): number {
  const match = /^(\d{1,9})(mb|gb)?$/i.exec(text);
  const value = match === null ? Number.NaN : Number(match[1]) * (match[2]?.toLowerCase() === "gb" ? 1024 : 1);
  const { memoryMin, memoryMax } = LIMITS;
  if (!(value >= memoryMin.value && value <= memoryMax.value)) {
    throw new Usage(`${shown(text)} is not a memory amount: whole megabytes from ${memoryMin.value} to ${memoryMax.value}`);
  }
  return value;
}

/** A whole number within bounds. */
export function integer(low: number, high: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,12}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= low && value <= high)) throw new Usage(`${shown(text)} is not a whole number from ${low} to ${high}`);
    return value;
  };
}

/** A TCP port; 0 lets the system pick. */
export const port = integer(0, 65_535);

export function runtime(text: string): RuntimeName {
  const found = RUNTIME_NAMES.find((known) => known === text);
  if (found === undefined) throw new Usage(`${shown(text)} is not a runtime: there are ${RUNTIME_NAMES.join(", ")}`);
  return found;
}

/** A configuration that a call demands: node, python, node@20. */
export function configuration(text: string): string {
  if (!/^[a-z][a-z0-9]{0,31}(?:@[0-9A-Za-z.+-]{1,32})?$/.test(text))
    throw new Usage(`${shown(text)} is not a runtime: write for example node or node@20`);
  return text;
}

/** KEY=VALUE; the value may be empty and may hold further `=`. */
export function pair(text: string): readonly [string, string] {
  const at = text.indexOf("=");
  if (at < 1) throw new Usage(`${shown(text)} is not KEY=VALUE`);
  return [text.slice(0, at), text.slice(at + 1)];
}

/** A variable of the function's environment. */
export function variable(text: string): readonly [string, string] {
  const [key, value] = pair(text);
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(key))
    throw new Usage(`${shown(key)} is not a variable name: letters, digits and _, not starting with a digit`);
  return [key, value];
}

/** A header of a call. */
export function header(text: string): readonly [string, string] {
  const [key, value] = pair(text);
  if (!/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$/.test(key)) throw new Usage(`${shown(key)} is not a header name`);
  if (/[\u0000-\u001f\u007f]/.test(value)) throw new Usage(`the value of header ${key} has control characters`);
  return [key, value];
}

/** One share of an alias: VERSION or VERSION=WEIGHT, weight 1 to 100. */
export function share(text: string): { version: number; weight: number } {
  const [left = "", weight] = text.split("=", 2);
  return { version: version(left), weight: weight === undefined ? 100 : integer(1, 100)(weight) };
}

/** RUNTIME=NUMBER, several with commas: how many to keep warm. */
export function warmth(text: string): (readonly [RuntimeName, number])[] {
  return text.split(",").map((part) => {
    const [key, value] = pair(part);
    return [runtime(key), integer(0, 1_000)(value)] as const;
  });
}

/** The id of a call, host or instance. */
export function id(text: string): string {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(text)) throw new Usage(`${shown(text)} is not an id`);
  return text;
}

/** Roles of nodes, with commas. */
export function roles(text: string): NodeRole[] {
  return text.split(",").map((part) => {
    const role = NODE_ROLES.find((one) => one === part.trim());
    if (role === undefined) throw new Usage(`${shown(part)} is not a role: there are ${NODE_ROLES.join(", ")}`);
    return role;
  });
}

/** Part of the id of a node. */
export function idPart(text: string): string {
  if (!/^[A-Za-z0-9_-]{1,48}$/.test(text)) throw new Usage(`${shown(text)} is not part of an id: up to 48 letters, digits, - and _`);
  return text;
}

/** Several values after one another in one flag or several flags become a record; a key given twice is an error. */
export function record(pairs: readonly (readonly [string, string])[], what: string): Record<string, string> {
  const whole: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const [key, value] of pairs) {
    if (Object.hasOwn(whole, key)) throw new Usage(`${what} ${key} is given twice`);
    whole[key] = value;
  }
  return { ...whole };
}
