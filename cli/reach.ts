/** What it means, to whoever typed the command, that the platform cannot be reached or does not let them in. */
import type { ConnectionSettings } from "../nodes/io/context.ts";
import { Fault } from "../protocol/errors.ts";

type Origin = Pick<ConnectionSettings, "servers" | "origin">;

const AS_OPERATOR = "Connect as the operator: --context FILE (pilot up prints it), --creds or --user.";
const START = "Start one with pilot up, or say where it runs: --server, --context or NATS_URL.";

/** Why no connection was made. */
export function unreachable(thrown: unknown, { origin }: Origin): Fault {
  const fault = Fault.from(thrown);
  if (/BAD_CREDS|BAD_AUTHENTICATION|nkeys:|invalid (encoded )?(key|seed)/i.test(fault.message)) {
    const next = "Give the file that the operator made: --creds takes a .creds file, --nkey a seed.";
    return new Fault("BadRequest", `the credential of ${origin} is malformed`, { next }, thrown);
  }
  if (fault.name === "NotAllowed") return new Fault("NotAllowed", fault.message, { next: AS_OPERATOR }, thrown);
  if (fault.name === "Unavailable") return new Fault("Unavailable", `${fault.message} (by ${origin})`, { next: START }, thrown);
  return fault;
}

/** The same for what failed on a connection. What is not about reaching the platform comes back as it is. */
export function advised(thrown: unknown, { origin, servers }: Origin): unknown {
  const fault = Fault.from(thrown);
  if (fault.fault === "function" || fault.details?.["next"] !== undefined) return thrown;
  const { message } = fault;
  if (/permissions violation|^the credential does not permit/i.test(message)) {
    const what = message.startsWith("the credential") ? message : "the credential does not permit this";
    return new Fault("NotAllowed", `${what} (connected by ${origin})`, { next: AS_OPERATOR }, thrown);
  }
  if (fault.name === "Unavailable" && /^(no node answers|nobody answers)/.test(message)) {
    const next = `Is ${servers.join(", ")} the broker of a pilot up? pilot doctor tells what is missing.`;
    return new Fault("Unavailable", message, { next }, thrown);
  }
  return thrown;
}
