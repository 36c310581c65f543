/** What a caller says, read and judged before anything is sent. */
import type { Callee, Invocation } from "../nodes/io/invocation.ts";
import { Fault } from "../protocol/errors.ts";
import { CALL_HEADERS } from "../protocol/headers.ts";
import { LIMITS } from "../protocol/limits.ts";
import { isAlias, isName, isVersion, NAME_RULE } from "../protocol/names.ts";
import type { CallOptions, InlineOptions, Target } from "./options.ts";

/** The bytes of a payload: bytes as they are, nothing for undefined, JSON of anything else. Throws Fault BadRequest for what JSON cannot say. */
export function bytesOf(payload: unknown): Uint8Array {
  if (payload === undefined) return new Uint8Array(0);
  if (payload instanceof Uint8Array) return payload;
  if (payload instanceof ArrayBuffer) return new Uint8Array(payload);
  if (ArrayBuffer.isView(payload)) return new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength);
  return new TextEncoder().encode(jsonOf(payload));
}

function jsonOf(value: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (thrown) {
    throw new Fault(
      "BadRequest",
      `the payload cannot be sent as JSON: ${thrown instanceof Error ? thrown.message : thrown}`,
      undefined,
      thrown,
    );
  }
  if (text === undefined) throw new Fault("BadRequest", `a ${typeof value} cannot be sent as JSON`);
  return text;
}

/** Throws Fault BadName. */
export function calleeOf(wanted: Target, account: string): { readonly account: string; readonly callee: Callee } {
  const parts =
    typeof wanted === "string" ? wanted.split(/[.:]/) : [wanted.name, ...(wanted.qualifier === undefined ? [] : [wanted.qualifier])];
  const [name = "", qualifier, ...rest] = parts;
  if (rest.length > 0) throw new Fault("BadName", `${shown(parts.join("."))} is not NAME or NAME.QUALIFIER`);
  if (!isName(name)) throw new Fault("BadName", `${shown(name)} is not the name of a function: ${NAME_RULE}`);
  if (qualifier !== undefined && !isAlias(qualifier) && !isVersion(qualifier))
    throw new Fault("BadName", `${shown(qualifier)} is neither an alias nor a version`);
  return { account: accountOf((typeof wanted === "string" ? undefined : wanted.account) ?? account), callee: { name, qualifier } };
}

/** Throws Fault BadName. */
export function accountOf(account: string): string {
  if (!isName(account)) throw new Fault("BadName", `${shown(account)} is not the name of an account: ${NAME_RULE}`);
  return account;
}

/** Body of a call with code in it. Throws Fault BadRequest for an event that is not JSON. */
export function inlineBody(source: string, event: unknown, { runtime = "node", handler }: InlineOptions): Uint8Array {
  if (event instanceof Uint8Array || event instanceof ArrayBuffer)
    throw new Fault("BadRequest", "with code in the call the payload must be JSON; deploy the function to send bytes");
  return new TextEncoder().encode(jsonOf({ runtime, code: source, handler, event }));
}

/** The rest of an invocation. Throws Fault BadHeader or BadRequest for what no frontend would take. */
export function settingsOf(options: CallOptions): Omit<Invocation, "account" | "callee" | "body"> {
  const { timeoutMs, deadlineMs, patienceMs, memoryMb, runtime, trace, signal, headers, onProgress } = options;
  const most = LIMITS.timeoutMax.value;
  for (const name in headers) {
    if (!/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$/.test(name)) throw new Fault("BadHeader", `${shown(name)} is not a header name`);
    if (/^pilot-body$/i.test(name)) throw new Fault("BadHeader", "large bodies are sent by themselves");
    if (/^pilot-/i.test(name) && !KNOWN.has(name.toLowerCase())) throw new Fault("BadHeader", `there is no header ${shown(name)}`);
    if (/[\u0000-\u001f\u007f]/.test(headers[name] ?? "")) throw new Fault("BadHeader", `the value of ${name} has control characters`);
  }
  return {
    timeoutMs: whole("timeoutMs", timeoutMs, 1, most),
    deadlineMs: whole("deadlineMs", deadlineMs, 1, most),
    patienceMs: whole("patienceMs", patienceMs, 1, 2 * most),
    memoryMb: whole("memoryMb", memoryMb, LIMITS.memoryMin.value, LIMITS.memoryMax.value),
    runtime,
    trace,
    signal,
    headers,
    onProgress: onProgress && ((direction, done, total) => onProgress({ direction, done, total })),
  };
}

const KNOWN = new Set(Object.keys(CALL_HEADERS).map((name) => name.toLowerCase()));

function whole(name: string, value: number | undefined, least: number, most: number): number | undefined {
  if (value !== undefined && !(Number.isSafeInteger(value) && value >= least && value <= most))
    throw new Fault("BadRequest", `${name} must be a whole number from ${least} to ${most}`);
  return value;
}

const shown = (text: string): string => JSON.stringify(String(text).slice(0, 64));
