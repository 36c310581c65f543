/** What went wrong with a call, as its reply or the client library says it. */
import { Fault, isErrorName } from "../../protocol/errors.ts";

/** What the client library threw instead of sending: PayloadTooLarge, else Unavailable. Nothing ran. */
export function unsent(error: unknown): Fault {
  const text = error instanceof Error ? error.message : String(error);
  if (/payload/i.test(text)) return new Fault("PayloadTooLarge", "the body is larger than the broker takes", { undelivered: true });
  return new Fault("Unavailable", `the call could not be sent: ${text}`, { undelivered: true }, error);
}

/** The Fault that a reply tells of by its status and headers; undefined for a result. */
export function replyFault(status: number, headers: Record<string, string>, body: Uint8Array): Fault | undefined {
  if (status === 503) return new Fault("Unavailable", "nobody answers calls: is the cluster up?", { undelivered: true, absent: true });
  const code = headers["Nats-Service-Error-Code"];
  if (code === undefined) return undefined;
  const name = headers["Pilot-Error"] ?? "";
  const said = bodyOf(body);
  const message = typeof said["message"] === "string" ? said["message"] : (headers["Nats-Service-Error"] ?? `error ${code}`);
  return new Fault(isErrorName(name) ? name : "Internal", message, { ...said, headers });
}

/** The fields of an error's JSON body, such as the function's stack; none where it has another form. */
function bodyOf(body: Uint8Array): Record<string, unknown> {
  try {
    const said: unknown = JSON.parse(new TextDecoder().decode(body));
    return typeof said === "object" && said !== null && !Array.isArray(said) ? (said as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
