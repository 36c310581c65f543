/** A reply or an error as HTTP: status, headers, body. */
import { ERRORS, type Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { headerLine } from "../kit/failure.ts";

export interface HttpReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | string;
}

/** An error for which HTTP has a status, or headers, that its row does not say. */
export class Refusal extends Error {
  readonly fault: Fault;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  constructor(fault: Fault, status: number, headers: Readonly<Record<string, string>>) {
    super(fault.message);
    this.fault = fault;
    this.status = status;
    this.headers = headers;
  }
}

const JSON_TYPE = "application/json; charset=utf-8";
const TEXT_TYPE = "text/plain; charset=utf-8";
const BYTES_TYPE = "application/octet-stream";
const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze({});

/** The result of a call. Headers of its reply that tell of its placement go along. */
export function resultReply(body: Uint8Array, headers: Readonly<Record<string, string>>): HttpReply {
  return { status: 200, headers: { ...toldOf(headers), "Content-Type": contentTypeOf(body) }, body };
}

/**
 * An error: status and fields of its row in the table, `{name, message, fault, retry, next, …}`. `status` where HTTP has a better
 * one than the row, and further headers with it.
 */
export function faultReply(fault: Fault, status: number = fault.code, more: Readonly<Record<string, string>> = NO_HEADERS): HttpReply {
  const row = ERRORS[fault.name];
  const details = fault.details ?? {};
  const after = details["retryAfterMs"];
  const retryAfterMs = typeof after === "number" && Number.isFinite(after) ? Math.max(0, Math.ceil(after)) : undefined;
  const next = typeof details["next"] === "string" ? details["next"] : row.cure;
  const body = {
    name: fault.name,
    message: fault.message,
    fault: row.fault,
    retry: row.retry,
    next,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...(typeof details["stack"] === "string" && { stack: details["stack"] }),
  };
  return {
    status,
    headers: {
      ...toldOf((details["headers"] ?? {}) as Readonly<Record<string, string>>),
      "Content-Type": JSON_TYPE,
      "Pilot-Error": fault.name,
      ...(retryAfterMs !== undefined && {
        "Retry-After": String(Math.ceil(retryAfterMs / 1_000)),
        "Pilot-Retry-After": String(retryAfterMs),
      }),
      ...more,
    },
    body: JSON.stringify(body),
  };
}

/** The Pilot- headers of a reply and traceparent; `Pilot-Body` is between the gateway and the store. */
function toldOf(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  let told: Record<string, string> | undefined;
  for (const name in headers) {
    const isTold = (name.startsWith("Pilot-") && name !== "Pilot-Body") || name === "traceparent";
    if (isTold) (told ??= {})[name] = headerLine(headers[name] ?? "").replace(/[^\u0020-\u007e]/g, "?");
  }
  return told ?? NO_HEADERS;
}

/** Made once: making one takes longer than decoding most results. */
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** First bytes of JSON texts: spares most others the attempt. */
const MAY_BE_JSON = /^[\s[{"\d\-tfn]$/;

/**
 * What a result is, by its bytes, since a function says no type: JSON, text or bytes. One above LIMITS.httpJson is not parsed: it is JSON
 * when it begins and ends as an object or array does.
 */
export function contentTypeOf(body: Uint8Array): string {
  if (body.length === 0) return BYTES_TYPE;
  const isSmall = body.length <= LIMITS.httpJson.value;
  const first = String.fromCharCode(body[0] ?? 0);
  const last = String.fromCharCode(body[body.length - 1] ?? 0);
  const mayBeJson = isSmall ? MAY_BE_JSON.test(first) : `${first}${last}` === "{}" || `${first}${last}` === "[]";
  let text: string;
  try {
    text = UTF8.decode(body);
  } catch {
    return BYTES_TYPE;
  }
  if (mayBeJson && (!isSmall || isJson(text))) return JSON_TYPE;
  return text.includes("\u0000") ? BYTES_TYPE : TEXT_TYPE;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
