/**
 * A large body cut into parts, and put together again: several parts at a time, each tried anew while the platform says later,
 * and the digest of the whole taken part by part, so that no body holds up the process for long.
 */
import { createHash, randomBytes } from "node:crypto";
import { type BodyRef, partRange, partsOf } from "../../protocol/bodies.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";

/** How one part goes and comes. All rejections are Faults. */
export interface PartCarrier {
  put(id: string, part: number, bytes: Uint8Array, signal: AbortSignal): Promise<void>;
  get(id: string, part: number, signal: AbortSignal): Promise<Uint8Array>;
}

export interface BodyOptions {
  /** Ends the work with Fault Cancelled, or with the signal's reason where that is a Fault. */
  readonly signal?: AbortSignal | undefined;
  /** Told after each part. */
  readonly progress?: ((done: number, total: number) => void) | undefined;
}

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2_000;

/** Stores a body of 1 to LIMITS.largeBody bytes under a new id. The bytes must not change meanwhile. Rejects with PayloadTooLarge, or as the carrier does. */
export async function writeBody(carrier: PartCarrier, bytes: Uint8Array, options: BodyOptions = {}): Promise<BodyRef> {
  if (bytes.length === 0) throw new Fault("BadRequest", "an empty body needs no store");
  if (bytes.length > LIMITS.largeBody.value) {
    throw new Fault("PayloadTooLarge", `the body has ${bytes.length} bytes; at most ${LIMITS.largeBody.value} can be sent`);
  }
  const id = randomBytes(16).toString("hex");
  const hash = createHash("sha256");
  let done = 0;
  await eachPart(bytes.length, options.signal, async (part, signal) => {
    const { from, to } = partRange(bytes.length, part);
    const piece = bytes.subarray(from, to);
    // Parts are begun in order.
    hash.update(piece);
    await patiently(signal, () => carrier.put(id, part, piece, signal));
    done += piece.length;
    options.progress?.(done, bytes.length);
  });
  return { id, parts: partsOf(bytes.length), bytes: bytes.length, sha256: hash.digest("hex") };
}

/** Reads a body. Rejects with BodyUnavailable when a part is missing or the digest is another, or as the carrier does. */
export async function readBody(carrier: PartCarrier, ref: BodyRef, options: BodyOptions = {}): Promise<Uint8Array> {
  const whole = new Uint8Array(ref.bytes);
  const hash = createHash("sha256");
  const early = new Set<number>();
  let hashed = 0;
  let done = 0;
  await eachPart(ref.bytes, options.signal, async (part, signal) => {
    const { from, to } = partRange(ref.bytes, part);
    const piece = await patiently(signal, () => carrier.get(ref.id, part, signal));
    if (piece.length !== to - from) {
      throw new Fault("BodyUnavailable", `part ${part} of the large body has ${piece.length} bytes instead of ${to - from}`);
    }
    whole.set(piece, from);
    early.add(part);
    for (; early.delete(hashed); hashed++) {
      const range = partRange(ref.bytes, hashed);
      hash.update(whole.subarray(range.from, range.to));
    }
    done += piece.length;
    options.progress?.(done, ref.bytes);
  });
  if (hash.digest("hex") !== ref.sha256) throw new Fault("BodyUnavailable", "the large body has another digest than its claim check");
  return whole;
}

/** Does the work for each part in order, LIMITS.bodyPartsInFlight at a time. The first failure ends the others and is what is told. */
async function eachPart(
  bytes: number,
  outer: AbortSignal | undefined,
  work: (part: number, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const end = new AbortController();
  const abort = (): void => end.abort(outer?.reason instanceof Fault ? outer.reason : cancelled());
  if (outer?.aborted === true) abort();
  outer?.addEventListener("abort", abort, { once: true });
  const parts = partsOf(bytes);
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < parts && !end.signal.aborted) await work(next++, end.signal);
  };
  try {
    const workers = Array.from({ length: Math.min(parts, LIMITS.bodyPartsInFlight.value) }, () =>
      worker().catch((thrown: unknown) => end.abort(Fault.from(thrown))),
    );
    await Promise.all(workers);
    if (end.signal.aborted) throw end.signal.reason;
  } finally {
    outer?.removeEventListener("abort", abort);
  }
}

/** Tries again while the platform says later. */
async function patiently<T>(signal: AbortSignal, step: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await step();
    } catch (thrown) {
      const fault = Fault.from(thrown);
      const isLater = fault.name === "Unavailable" || fault.name === "Throttled" || fault.name === "Draining";
      if (!isLater || attempt >= LIMITS.bodyAttempts.value || signal.aborted) throw fault;
      const asked = fault.details?.["retryAfterMs"];
      await pause(Math.min(LONGEST_PAUSE_MS, typeof asked === "number" ? asked : FIRST_PAUSE_MS * 2 ** attempt), signal);
    }
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
}

const cancelled = (): Fault => new Fault("Cancelled", "the caller cancelled the transfer of a large body");
