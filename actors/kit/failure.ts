/** How a Fault reaches a caller: the micro headers, our own, and a small JSON body. */
import { ERRORS, type Fault } from "../../protocol/errors.ts";

const LINE = 1_024;
const encoder = new TextEncoder();

/** Headers of an error reply. `more`: trace headers and the like. */
export function failureHeaders(fault: Fault, more?: Readonly<Record<string, string>>): Record<string, string> {
  const headers: Record<string, string> = {
    ...more,
    "Nats-Service-Error": headerLine(fault.message),
    "Nats-Service-Error-Code": String(fault.code),
    "Pilot-Error": fault.name,
  };
  const after = fault.details?.["retryAfterMs"];
  if (typeof after === "number") headers["Pilot-Retry-After"] = String(Math.ceil(after));
  return headers;
}

/** Body of an error reply: {error, message, fault, retry, cure, …details}. */
export function failureBody(fault: Fault): Uint8Array {
  const row = ERRORS[fault.name];
  return encoder.encode(
    JSON.stringify({ error: fault.name, message: fault.message, fault: row.fault, retry: row.retry, cure: row.cure, ...fault.details }),
  );
}

/** One line of printable text that is legal as a header value. */
export function headerLine(text: string): string {
  return text.slice(0, LINE).replace(/[\u0000-\u001f\u007f]+/g, " ");
}
