/** A reply with all that is known of it. */
import type { CallReply } from "../nodes/io/caller.ts";

/** How a call was placed and run; with `trace: true`. Times of day are milliseconds since 1970, with fractions. */
export interface Trace {
  readonly call: string;
  readonly rung: string;
  readonly path: string;
  readonly reason: string | undefined;
  readonly class: string;
  readonly host: string;
  readonly instance: string;
  readonly container: string;
  readonly version: number;
  readonly memoryMb: number;
  /** Number of the placement that succeeded, from 1. */
  readonly attempt: number;
  readonly coldCause: string | undefined;
  readonly receivedAt: number;
  readonly startedAt: number;
  readonly endedAt: number;
}

export interface Reply {
  /** The body as it came. */
  readonly bytes: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
  /** Undefined unless the call asked for it. */
  readonly trace: Trace | undefined;
  /** The body as text. */
  text(): string;
  /** The body as a value: JSON parsed, nothing for no bytes, other bytes as they are. */
  value(): unknown;
}

/** A small body may be a view of a large buffer, which it would keep in memory. */
const WASTE = 2;

export function replyOf({ body, headers }: CallReply): Reply {
  const bytes = body.buffer.byteLength > WASTE * body.length ? body.slice() : body;
  return {
    bytes,
    headers,
    get trace() {
      return traceOf(headers);
    },
    text: () => new TextDecoder().decode(bytes),
    value: () => parsed(bytes),
  };
}

function traceOf(headers: Readonly<Record<string, string>>): Trace | undefined {
  const text = (name: string): string => headers[`Pilot-${name}`] ?? "";
  if (text("Rung") === "") return undefined;
  const [receivedAt = Number.NaN, startedAt = Number.NaN, endedAt = Number.NaN] = text("Times").split(";").map(Number);
  return {
    call: text("Call"),
    rung: text("Rung"),
    path: text("Path"),
    reason: headers["Pilot-Reason"],
    class: text("Class"),
    host: text("Host"),
    instance: text("Instance"),
    container: text("Container"),
    version: Number(text("Version")),
    memoryMb: Number(text("Memory")),
    attempt: Number(text("Attempt")),
    coldCause: headers["Pilot-Cold-Cause"],
    receivedAt,
    startedAt,
    endedAt,
  };
}

function parsed(bytes: Uint8Array): unknown {
  if (bytes.length === 0) return undefined;
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch {
    return bytes;
  }
}
