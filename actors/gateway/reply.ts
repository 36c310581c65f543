/** A reply or an error as HTTP: status, headers, body. */
import { ERRORS, type Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { headerLine } from "../kit/failure.ts";

/** A body that is sent as it is read. */
export interface ReplyStream {
  readonly bytes: number;
  /** Once. What it throws breaks the connection, so that nobody takes what came for the whole. */
  readonly pieces: AsyncIterable<Uint8Array>;
  /** Told when it will not be read, or not further. Legal twice. */
  close(): void;
}

export interface HttpReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | string | ReplyStream;
}

/** Whether bytes are UTF-8. */
export type Utf8Check = (bytes: Uint8Array) => boolean;

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
type ContentType = typeof JSON_TYPE | typeof TEXT_TYPE | typeof BYTES_TYPE;
const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze({});

/** The result of a call. Headers of its reply that tell of its placement go along. */
export function resultReply(body: Uint8Array, headers: Readonly<Record<string, string>>, isUtf8: Utf8Check): HttpReply {
  const type = contentTypeOf(body, isUtf8);
  return { status: 200, headers: { ...toldOf(headers), "Content-Type": type }, body };
}

/** The same for a large result, of which only the first part and the last are there. */
export function largeReply(
  large: ReplyStream & { readonly head: Uint8Array; readonly tail: Uint8Array },
  headers: Readonly<Record<string, string>>,
  isUtf8: Utf8Check,
): HttpReply {
  return { status: 200, headers: { ...toldOf(headers), "Content-Type": largeTypeOf(large.head, large.tail, isUtf8) }, body: large };
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

const UTF8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** First bytes of JSON texts: spares most others the attempt. */
const MAY_BE_JSON = new Set([...' \t\n\r[{"-0123456789tfn'].map((letter) => letter.charCodeAt(0)));
const [OPEN_LIST, CLOSE_LIST, OPEN_FIELDS, CLOSE_FIELDS] = [0x5b, 0x5d, 0x7b, 0x7d];

/**
 * What a result is, by its bytes, since a function says no type: JSON, text or bytes. One above LIMITS.httpJson is not parsed: it is JSON
 * when it begins and ends as an object or array does.
 */
export function contentTypeOf(body: Uint8Array, isUtf8: Utf8Check): ContentType {
  if (body.length === 0 || !isUtf8(body)) return BYTES_TYPE;
  const isSmall = body.length <= LIMITS.httpJson.value;
  const isJson = isSmall ? MAY_BE_JSON.has(body[0] ?? 0) && parses(body) : hasEndsOfJson(body, body);
  return isJson ? JSON_TYPE : textTypeOf(body);
}

/** The same by the first part and the last. A character may be cut where a part ends. */
export function largeTypeOf(head: Uint8Array, tail: Uint8Array, isUtf8: Utf8Check): ContentType {
  const isCutUtf8 = [0, 1, 2, 3].some((cut) => isUtf8(head.subarray(0, head.length - cut)));
  if (!isCutUtf8) return BYTES_TYPE;
  return hasEndsOfJson(head, tail) ? JSON_TYPE : textTypeOf(head);
}

const textTypeOf = (body: Uint8Array): ContentType => (body.includes(0) ? BYTES_TYPE : TEXT_TYPE);

function hasEndsOfJson(head: Uint8Array, tail: Uint8Array): boolean {
  const [first, last] = [head[0], tail[tail.length - 1]];
  return (first === OPEN_FIELDS && last === CLOSE_FIELDS) || (first === OPEN_LIST && last === CLOSE_LIST);
}

function parses(body: Uint8Array): boolean {
  try {
    JSON.parse(UTF8.decode(body));
    return true;
  } catch {
    return false;
  }
}
