/** What a caller may say in headers, read and judged. Everything here is hostile until it has passed. */
import { type BodyRef, parseBody } from "../../protocol/bodies.ts";
import { Fault } from "../../protocol/errors.ts";
import { CALL_HEADERS, type CallHeader } from "../../protocol/headers.ts";
import { LIMITS } from "../../protocol/limits.ts";

export interface CallOptions {
  readonly trace: boolean;
  readonly deadlineMs?: number;
  readonly timeoutMs?: number;
  readonly memoryMb?: number;
  readonly runtimeWanted?: string;
  readonly traceparent?: string;
  readonly bodyRef?: BodyRef;
}

const NONE: CallOptions = Object.freeze({ trace: false });
const BY_LOWER_CASE = new Map(Object.keys(CALL_HEADERS).map((name) => [name.toLowerCase(), name as CallHeader]));

/** Reads the Pilot- headers and traceparent; others are the caller's own business. Throws Fault BadHeader. */
export function readCallHeaders(names: readonly string[], value: (name: string) => string | undefined): CallOptions {
  if (names.length === 0) return NONE;
  const options: { -readonly [K in keyof CallOptions]: CallOptions[K] } = { trace: false };
  let count = 0;
  for (const name of names) {
    const lower = name.toLowerCase();
    const text = value(name) ?? "";
    if (lower === "traceparent") {
      if (text.length <= 64) options.traceparent = text;
      continue;
    }
    if (!lower.startsWith("pilot-")) continue;
    if (++count > LIMITS.callHeaders.value)
      throw new Fault("BadHeader", `more than ${LIMITS.callHeaders.value} Pilot- headers`, { limit: "callHeaders" });
    switch (BY_LOWER_CASE.get(lower)) {
      case "Pilot-Trace":
        options.trace = text === "1" || text === "true";
        if (!options.trace && text !== "0" && text !== "false") throw new Fault("BadHeader", "Pilot-Trace is 1 or 0");
        break;
      case "Pilot-Deadline":
        options.deadlineMs = whole(name, text, 1, LIMITS.timeoutMax.value);
        break;
      case "Pilot-Timeout":
        options.timeoutMs = whole(name, text, 1, LIMITS.timeoutMax.value);
        break;
      case "Pilot-Memory":
        options.memoryMb = whole(name, text, LIMITS.memoryMin.value, LIMITS.memoryMax.value);
        break;
      case "Pilot-Runtime":
        if (!/^[a-z]{1,20}(@[0-9]{1,5}(\.[0-9]{1,5}){0,2})?$/.test(text))
          throw new Fault("BadHeader", "Pilot-Runtime is a runtime such as node@20");
        options.runtimeWanted = text;
        break;
      case "Pilot-Body": {
        const ref = parseBody(text);
        if (ref === undefined) {
          throw new Fault("BadHeader", `Pilot-Body is id;parts;bytes;sha256 of a body of at most ${LIMITS.largeBody.value} bytes`);
        }
        options.bodyRef = ref;
        break;
      }
      default:
        throw new Fault("BadHeader", `there is no header ${name.slice(0, 64)}; a call may have ${Object.keys(CALL_HEADERS).join(", ")}`);
    }
  }
  return options;
}

function whole(name: string, text: string, least: number, most: number): number {
  const value = /^[0-9]{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= least && value <= most))
    throw new Fault("BadHeader", `${name.slice(0, 64)} must be a whole number from ${least} to ${most}`);
  return value;
}
