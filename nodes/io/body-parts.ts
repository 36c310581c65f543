/**
 * A large body cut into parts, and put together again: several parts at a time, each tried anew while the platform says later,
 * and the digest of the whole taken part by part, so that no body holds up the process for long.
 */
import { createHash } from "node:crypto";
import { type BodyRef, partRange, partsOf } from "../../protocol/bodies.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { writeParts } from "./body-stream.ts";
import { type BodyOptions, type PartCarrier, partsEnd, readPart } from "./part-carrier.ts";
import type { StopSignal } from "./stop-signal.ts";

/** Stores a body of 1 to LIMITS.largeBody bytes under a new id. The bytes must not change meanwhile. Rejects with PayloadTooLarge, or as the carrier does. */
export async function writeBody(carrier: PartCarrier, bytes: Uint8Array, options: BodyOptions = {}): Promise<BodyRef> {
  if (bytes.length > LIMITS.largeBody.value) {
    throw new Fault("PayloadTooLarge", `the body has ${bytes.length} bytes; at most ${LIMITS.largeBody.value} can be sent`);
  }
  return writeParts(carrier, viewsOf(bytes), { ...options, total: bytes.length, inFlight: LIMITS.bodyPartsInFlight.value });
}

function* viewsOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let part = 0; part < partsOf(bytes.length); part++) {
    const { from, to } = partRange(bytes.length, part);
    yield bytes.subarray(from, to);
  }
}

/** Reads a body. Rejects with BodyUnavailable when a part is missing or the digest is another, or as the carrier does. */
export async function readBody(carrier: PartCarrier, ref: BodyRef, options: BodyOptions = {}): Promise<Uint8Array> {
  const whole = new Uint8Array(ref.bytes);
  const hash = createHash("sha256");
  const early = new Set<number>();
  let hashed = 0;
  let done = 0;
  await eachPart(ref.bytes, options.signal, async (part, signal) => {
    const { from } = partRange(ref.bytes, part);
    const piece = await readPart(carrier, ref, part, signal);
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
  outer: StopSignal | undefined,
  work: (part: number, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const end = partsEnd(outer);
  const parts = partsOf(bytes);
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < parts && !end.signal.aborted) await work(next++, end.signal);
  };
  try {
    const workers = Array.from({ length: Math.min(parts, LIMITS.bodyPartsInFlight.value) }, () =>
      worker().catch((thrown: unknown) => end.end(Fault.from(thrown))),
    );
    await Promise.all(workers);
    if (end.signal.aborted) throw end.signal.reason;
  } finally {
    end.release();
  }
}
