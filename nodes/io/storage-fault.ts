/** Every way in which JetStream says no, as a Fault. */
import { NatsError } from "nats";
import { Fault } from "../../protocol/errors.ts";

/** JetStream's own error numbers. */
const WRONG_SEQUENCE = 10071;
export const OFF_FOR_ACCOUNT = 10039;
const STREAM_MISSING = 10059;
const MESSAGE_MISSING = 10037;

/** Does the work; what it throws becomes a Fault that says `what` was tried: Conflict, Unavailable, NotAllowed or PayloadTooLarge. */
export async function storageFault<R>(what: string, work: () => Promise<R> | R): Promise<R> {
  try {
    return await work();
  } catch (thrown) {
    throw thrown instanceof Fault ? thrown : faultOf(what, thrown);
  }
}

/** True for the answer that a stream has no such message. */
export const isMissingMessage = (thrown: unknown): boolean => thrown instanceof NatsError && thrown.api_error?.err_code === MESSAGE_MISSING;

function faultOf(what: string, thrown: unknown): Fault {
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  if (!(thrown instanceof NatsError)) return new Fault("Internal", `${what}: ${text}`, undefined, thrown);
  const number = thrown.api_error?.err_code;
  if (number === WRONG_SEQUENCE) return new Fault("Conflict", `${what}: somebody else wrote it`, undefined, thrown);
  if (number === OFF_FOR_ACCOUNT || (thrown.code === "503" && number === undefined)) {
    return new Fault(
      "Unavailable",
      `${what}: the broker does not answer for JetStream; it must run with JetStream switched on`,
      undefined,
      thrown,
    );
  }
  if (number === STREAM_MISSING)
    return new Fault("Unavailable", `${what}: it does not exist yet; a scheduler makes it when it starts`, undefined, thrown);
  if (thrown.isPermissionError?.() || thrown.code === "PERMISSIONS_VIOLATION")
    return new Fault("NotAllowed", `${what}: ${text}`, undefined, thrown);
  if (thrown.code === "MAX_PAYLOAD_EXCEEDED") return new Fault("PayloadTooLarge", `${what}: ${text}`, undefined, thrown);
  return new Fault("Unavailable", `${what}: ${text}`, undefined, thrown);
}
