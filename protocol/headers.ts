/**
 * Headers of a call and of its reply. On the direct path a call carries none of them (law 2).
 */

/** Headers a caller may set. A host answers those marked `direct` itself; any other makes it hand the call to a frontend. */
export const CALL_HEADERS = {
  "Pilot-Trace": { direct: true, form: "1", meaning: "the reply says how the call was placed" },
  "Pilot-Deadline": { direct: true, form: "milliseconds", meaning: "how long the call may wait for a place, from arrival" },
  "Pilot-Timeout": { direct: false, form: "milliseconds", meaning: "run time limit of this call; not above the function's own" },
  "Pilot-Memory": { direct: false, form: "MB", meaning: "memory amount for this call instead of the stored one" },
  "Pilot-Runtime": {
    direct: false,
    form: "name@version",
    meaning: "runtime the host must offer, for example node@20; refused when none does",
  },
  "Pilot-Body": {
    direct: false,
    form: "id;parts;bytes;sha256",
    meaning: "the body is in the store under this claim check, and the message has none",
  },
} as const;

export type CallHeader = keyof typeof CALL_HEADERS;

/** Headers of a reply: errors always, the others with Pilot-Trace. */
export const REPLY_HEADERS = {
  "Nats-Service-Error": "what happened, in words",
  "Nats-Service-Error-Code": "HTTP-like number",
  "Pilot-Error": "name of the row in docs/errors.md",
  "Pilot-Retry-After": "milliseconds after which another try makes sense",
  "Pilot-Body": "id;parts;bytes;sha256: the result is in the store under this claim check, and the message has none",
  "Pilot-Call": "id of the call",
  "Pilot-Rung": "hot, cached, own, warm or cold",
  "Pilot-Path": "direct, frontend or keeper",
  "Pilot-Reason": "why this place was chosen",
  "Pilot-Class": "rare or busy: the manager whose capacity served the call",
  "Pilot-Host": "id of the host",
  "Pilot-Instance": "id of the instance",
  "Pilot-Container": "id of the container",
  "Pilot-Version": "version that ran",
  "Pilot-Memory": "memory amount of the container in MB",
  "Pilot-Cpu": "cpu amount of the container as a share of its instance",
  "Pilot-Attempt": "number of the placement that succeeded, from 1",
  "Pilot-Cold-Cause": "why the call was not hot: first, scale-out, evicted, code-changed, amount-changed, host-lost",
  "Pilot-Times": "received;started;ended in ms since 1970, with fractions",
} as const;
