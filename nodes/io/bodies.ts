/**
 * Large bodies as a caller sends and gets them: in parts, by requests to any frontend, without any right of JetStream.
 * A call with a body above BODY_LIMIT: `putBody`, then the call with header `Pilot-Body` and no body. A reply with that header:
 * `getBody`. Only callers whose inbox is a `claimInbox` (protocol/subjects.ts) get such replies.
 */
import { BODY_HEADER, type BodyRef, formatBody, parseBody } from "../../protocol/bodies.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { SUBJECT } from "../../protocol/subjects.ts";
import { readBody, writeBody } from "./body-parts.ts";
import { type Pieces, readParts, type WriteOptions, writeParts } from "./body-stream.ts";
import type { Caller } from "./caller.ts";
import { type BodyOptions, type PartCarrier, partsEnd, readPart } from "./part-carrier.ts";

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
 * The same for a body that comes in parts of LIMITS.bodyPart (`partsFrom`), of which only those on their way are held. Rejects as
 * `putBody` does, and with what reading the parts throws; what was stored by then is removed.
 */
export async function putStream(caller: Caller, account: string, parts: Pieces, options: WriteOptions = {}): Promise<string> {
  return formatBody(await writeParts(carrierOf(caller, account), parts, options));
}

/**
 * The body behind a reply's `Pilot-Body`, and removes it from the store, also when it fails. Rejects with Fault BodyUnavailable (also
 * for a malformed value), Throttled, Unavailable or Cancelled.
 */
export async function getBody(caller: Caller, account: string, header: string, options: BodyOptions = {}): Promise<Uint8Array> {
  const ref = refOf(header);
  try {
    return await readBody(carrierOf(caller, account), ref, options);
  } finally {
    drop(caller, account, ref);
  }
}

/** A large body that is read part by part. */
export interface LargeBody {
  /** Of the whole. */
  readonly bytes: number;
  /** Its first part and its last. */
  readonly head: Uint8Array;
  readonly tail: Uint8Array;
  /**
   * The whole in parts, once. Throws Fault BodyUnavailable instead of the last part when the digest is another, also Throttled,
   * Unavailable or Cancelled. The body is removed from the store when it has been read, and when reading ends early.
   */
  readonly pieces: AsyncIterable<Uint8Array>;
  /** Removes it unread. Legal twice, and after it was read. */
  close(): void;
}

/** The same as `getBody` for a body that need not be held whole. Resolves when its first and last part are there. */
export async function openBody(caller: Caller, account: string, header: string, options: BodyOptions = {}): Promise<LargeBody> {
  const ref = refOf(header);
  const carrier = carrierOf(caller, account);
  let isOpen = true;
  const close = (): void => {
    if (isOpen) drop(caller, account, ref);
    isOpen = false;
  };
  const end = partsEnd(options.signal);
  const last = ref.parts - 1;
  try {
    const [head, tail] = await Promise.all([readPart(carrier, ref, 0, end.signal), readPart(carrier, ref, last, end.signal)]);
    const given = new Map([
      [0, head],
      [last, tail],
    ]);
    const read = async function* () {
      try {
        yield* readParts(carrier, ref, { ...options, given });
      } finally {
        close();
      }
    };
    return { bytes: ref.bytes, head, tail, pieces: read(), close };
  } catch (thrown) {
    const fault = Fault.from(thrown);
    end.end(fault);
    close();
    throw fault;
  } finally {
    end.release();
  }
}

/** Removes a body that no call will use, as well as it goes; what stays expires after LIMITS.bodyLife. */
export function dropBody(caller: Caller, account: string, header: string): void {
  const ref = parseBody(header);
  if (ref !== undefined) drop(caller, account, ref);
}

function drop(caller: Caller, account: string, { id, parts }: Pick<BodyRef, "id" | "parts">): void {
  caller.call(SUBJECT.bodyPart(account, "drop", id, parts), NOTHING, { timeoutMs: LIMITS.bodyPartWait.value }).catch(() => undefined);
}

function refOf(header: string): BodyRef {
  const ref = parseBody(header);
  if (ref === undefined) throw new Fault("BodyUnavailable", "the reply names its large body in a form that cannot be read");
  return ref;
}

function carrierOf(caller: Caller, account: string): PartCarrier {
  const timeoutMs = LIMITS.bodyPartWait.value;
  return {
    async put(id, part, bytes) {
      // To its end, whoever gives up: what arrives after the removal would stay.
      await caller.call(SUBJECT.bodyPart(account, "put", id, part), bytes, { timeoutMs });
    },
    async get(id, part, signal) {
      return (await caller.call(SUBJECT.bodyPart(account, "get", id, part), NOTHING, { timeoutMs, signal })).body;
    },
    drop: (id, parts) => drop(caller, account, { id, parts }),
  };
}
