/** Every way in which JetStream says no, as a Fault. */
import { NatsError } from "nats";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";

/** JetStream's own error numbers. */
const WRONG_SEQUENCE = 10071;
export const OFF_FOR_ACCOUNT = 10039;
const STREAM_MISSING = 10059;
const MESSAGE_MISSING = 10037;
/** Resources exceeded, of the account or the server; insufficient resources or memory; too many streams. */
const NO_ROOM = [10002, 10023, 10027, 10028, 10047];
/** What a server whose disk is full says in its many errors. */
const DISK_FULL = /no space left on device/i;

/** Does the work; what it throws becomes a Fault that says `what` was tried: Conflict, Unavailable, NotAllowed or PayloadTooLarge. */
export async function storageFault<R>(what: string, work: () => Promise<R> | R): Promise<R> {
  try {
    return await work();
  } catch (thrown) {
    throw thrown instanceof Fault ? thrown : faultOf(what, thrown);
  }
}

/** What the buckets and streams with a bound reserve together. */
const RESERVED_GIB = Math.ceil(
  (LIMITS.inlineKept.value + LIMITS.dataKept.value + LIMITS.callsKept.value + LIMITS.logsKept.value + LIMITS.bodiesKept.value) / 1024 ** 3,
);

/** True for the answer that a stream has no such message. */
export const isMissingMessage = (thrown: unknown): boolean => thrown instanceof NatsError && thrown.api_error?.err_code === MESSAGE_MISSING;

/** What to do when the broker's disk was full: said where it is known or likely. */
export const ROOM_ADVICE =
  "Make room on the broker's disk. A broker of pilot up is then started anew by itself; start any other one again by hand, since its streams go on refusing until then.";

/** True when a server says that its disk is full. */
export const isDiskFull = (text: string): boolean => DISK_FULL.test(text);

function faultOf(what: string, thrown: unknown): Fault {
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  if (isDiskFull(text)) return new Fault("Unavailable", `${what}: the broker's disk is full`, { next: ROOM_ADVICE }, thrown);
  if (!(thrown instanceof NatsError)) return new Fault("Internal", `${what}: ${text}`, undefined, thrown);
  const number = thrown.api_error?.err_code;
  if (number === WRONG_SEQUENCE) return new Fault("Conflict", `${what}: somebody else wrote it`, undefined, thrown);
  if (number === OFF_FOR_ACCOUNT) {
    const next = "Enable it in the server's configuration: accounts { NAME { jetstream: enabled } }";
    return new Fault("Unavailable", `${what}: JetStream is not enabled for the account of this credential`, { next }, thrown);
  }
  if (thrown.code === "503" && number === undefined) {
    const next = "Start it with jetstream enabled, and enable it for the account.";
    return new Fault(
      "Unavailable",
      `${what}: the broker does not answer for JetStream; it must run with JetStream switched on`,
      { next },
      thrown,
    );
  }
  if (number !== undefined && NO_ROOM.includes(number)) {
    const next = `Raise max_file_store of the server, and what its account may store and how many streams it may have: ${RESERVED_GIB} GiB are reserved, beside code and the registry.`;
    return new Fault("Unavailable", `${what}: JetStream has too little room for it: ${text}`, { next }, thrown);
  }
  if (number === STREAM_MISSING)
    return new Fault("Unavailable", `${what}: it does not exist yet; a scheduler makes it when it starts`, undefined, thrown);
  if (thrown.isPermissionError?.() || thrown.code === "PERMISSIONS_VIOLATION")
    return new Fault("NotAllowed", `${what}: ${text}`, undefined, thrown);
  if (thrown.code === "MAX_PAYLOAD_EXCEEDED") return new Fault("PayloadTooLarge", `${what}: ${text}`, undefined, thrown);
  return new Fault("Unavailable", `${what}: ${text}`, undefined, thrown);
}
