/**
 * Large bodies as a caller sends and gets them: in parts, by requests to any frontend, without any right of JetStream.
 * A call with a body above BODY_LIMIT: `putBody`, then the call with header `Pilot-Body` and no body. A reply with that header:
 * `getBody`. Only callers whose inbox is a `claimInbox` (protocol/subjects.ts) get such replies.
 */
import { BODY_HEADER, type BodyRef, formatBody, parseBody } from "../../protocol/bodies.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { SUBJECT } from "../../protocol/subjects.ts";
import { type BodyOptions, readBody, writeBody } from "./body-parts.ts";
import type { Caller } from "./caller.ts";

export type { BodyOptions };
export { BODY_HEADER };

const NOTHING = new Uint8Array(0);

/**
 * Stores a body of 1 to LIMITS.largeBody bytes for one call of a function of that account; gives the value for `Pilot-Body`. The
 * bytes must not change meanwhile. Rejects with Fault PayloadTooLarge, NotFound (no such account), NotAllowed, Throttled,
 * Unavailable or Cancelled.
 */
export async function putBody(caller: Caller, account: string, bytes: Uint8Array, options: BodyOptions = {}): Promise<string> {
  return formatBody(await writeBody(carrierOf(caller, account), bytes, options));
}

/**
 * The body behind a reply's `Pilot-Body`, and removes it from the store. Rejects with Fault BodyUnavailable (also for a malformed
 * value), Throttled, Unavailable or Cancelled.
 */
export async function getBody(caller: Caller, account: string, header: string, options: BodyOptions = {}): Promise<Uint8Array> {
  const ref = parseBody(header);
  if (ref === undefined) throw new Fault("BodyUnavailable", "the reply names its large body in a form that cannot be read");
  const bytes = await readBody(carrierOf(caller, account), ref, options);
  drop(caller, account, ref);
  return bytes;
}

/** Removes a body that no call will use, as well as it goes; what stays expires after LIMITS.bodyLife. */
export function dropBody(caller: Caller, account: string, header: string): void {
  const ref = parseBody(header);
  if (ref !== undefined) drop(caller, account, ref);
}

function drop(caller: Caller, account: string, { id, parts }: BodyRef): void {
  caller.call(SUBJECT.bodyPart(account, "drop", id, parts), NOTHING, { timeoutMs: LIMITS.bodyPartWait.value }).catch(() => undefined);
}

function carrierOf(caller: Caller, account: string) {
  const timeoutMs = LIMITS.bodyPartWait.value;
  return {
    async put(id: string, part: number, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
      await caller.call(SUBJECT.bodyPart(account, "put", id, part), bytes, { timeoutMs, signal });
    },
    async get(id: string, part: number, signal: AbortSignal): Promise<Uint8Array> {
      return (await caller.call(SUBJECT.bodyPart(account, "get", id, part), NOTHING, { timeoutMs, signal })).body;
    },
  };
}
