/** The headers of direct calls: the few that a host may honour, and those that go with a call that is handed on. */
import { CALL_HEADERS } from "../../protocol/headers.ts";
import { LIMITS } from "../../protocol/limits.ts";
import type { Message } from "../kit/bus.ts";
import type { Call } from "./call.ts";

/** What the headers of a direct call say, where a host may honour them. */
export interface Said {
  trace: boolean;
  deadlineMs: number;
  traceparent: string | undefined;
}

/** Undefined: something in the headers is for a frontend to decide, or to complain of. */
export function readDirect(message: Message): Said | undefined {
  const said: Said = { trace: false, deadlineMs: LIMITS.waitForPlace.value, traceparent: undefined };
  for (const name of message.headerNames()) {
    const lower = name.toLowerCase();
    if (lower === "traceparent") {
      const value = message.header(name);
      if (value !== undefined && value.length <= 64) said.traceparent = value;
      continue;
    }
    if (!lower.startsWith("pilot-")) continue;
    const value = message.header(name) ?? "";
    if (!isDirect(name)) return undefined;
    if (name === "Pilot-Trace" && value === "1") said.trace = true;
    else if (name === "Pilot-Deadline" && /^[1-9][0-9]{0,8}$/.test(value)) said.deadlineMs = Number(value);
    else return undefined;
  }
  return said;
}

/** Of a message that was not read here: its own words, for a frontend. Undefined: they are too many or too long. */
export function headersOfMessage(message: Message): Record<string, string> | undefined {
  const headers: Record<string, string> = {};
  let count = 0;
  for (const name of message.headerNames()) {
    const lower = name.toLowerCase();
    if (!lower.startsWith("pilot-") && lower !== "traceparent") continue;
    const value = message.header(name) ?? "";
    if (++count > LIMITS.callHeaders.value || name.length > 64 || value.length > 1_024) return undefined;
    headers[name] = value;
  }
  return headers;
}

/** Of a call that was read here and waits: what they said, anew. */
export function headersOfCall(call: Call): Record<string, string> {
  return {
    "Pilot-Deadline": String(Math.max(1, Math.round(call.waitUntil - call.arrivedAt))),
    ...(call.trace && { "Pilot-Trace": "1" }),
    ...(call.traceparent !== undefined && { traceparent: call.traceparent }),
  };
}

function isDirect(name: string): boolean {
  return Object.hasOwn(CALL_HEADERS, name) && CALL_HEADERS[name as keyof typeof CALL_HEADERS].direct;
}
