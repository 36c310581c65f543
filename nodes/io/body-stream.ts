/**
 * A large body that nobody holds whole: parts are stored while the body still arrives, and handed out while the next are read.
 *
 * B1  At most `inFlight` parts are on their way, and one more is in hand: whoever is slower, source or store, holds up the other.
 * B2  What was stored of a body that fails is removed, when the parts that were on their way have come to rest.
 * B3  The last part is handed out only when the digest of the whole is right: who counts bytes never takes a wrong body for a whole one.
 */
import { createHash, randomBytes } from "node:crypto";
import { type BodyRef, partsOf } from "../../protocol/bodies.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { Gathered } from "./gathered.ts";
import { type BodyOptions, type PartCarrier, partsEnd, patiently, readPart } from "./part-carrier.ts";

/** Bytes as they come, to be read once. Who stops early calls `return` of their iterator. */
export type Pieces = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

export interface WriteOptions extends BodyOptions {
  /** Parts that are sent at a time. Default LIMITS.bodyPartsStreamed. */
  readonly inFlight?: number;
  /** Bytes of the whole, where that is known before. */
  readonly total?: number | undefined;
}

/**
 * The same bytes in parts of LIMITS.bodyPart, the last of what is left. A part is a copy, or a piece that was one already.
 * Throws Fault PayloadTooLarge as soon as they are more than LIMITS.largeBody.
 */
export async function* partsFrom(pieces: Pieces): AsyncGenerator<Uint8Array, void, undefined> {
  const most = LIMITS.bodyPart.value;
  let gathered = new Gathered();
  let whole = 0;
  for await (const piece of pieces) {
    whole += piece.length;
    if (whole > LIMITS.largeBody.value) {
      throw new Fault("PayloadTooLarge", `the body has more than ${LIMITS.largeBody.value} bytes`, {
        next: "Store the data and send a reference to it.",
      });
    }
    for (let rest = piece; rest.length > 0; ) {
      const taken = rest.subarray(0, most - gathered.size);
      gathered.add(taken);
      rest = rest.subarray(taken.length);
      if (gathered.size < most) continue;
      yield gathered.whole();
      gathered = new Gathered();
    }
  }
  if (gathered.size > 0) yield gathered.whole();
}

/** Stores parts under a new id: all of LIMITS.bodyPart but the last. Rejects as the carrier does, or with what reading the parts throws. B1, B2. */
export async function writeParts(carrier: PartCarrier, parts: Pieces, options: WriteOptions = {}): Promise<BodyRef> {
  const { inFlight = LIMITS.bodyPartsStreamed.value, total, progress } = options;
  const id = randomBytes(16).toString("hex");
  const hash = createHash("sha256");
  const end = partsEnd(options.signal);
  const stopped = new Promise<never>((_, reject) => {
    const stop = (): void => reject(end.signal.reason);
    if (end.signal.aborted) stop();
    else end.signal.addEventListener("abort", stop, { once: true });
  });
  stopped.catch(() => undefined);
  const onWay = new Set<Promise<void>>();
  const source = Symbol.asyncIterator in parts ? parts[Symbol.asyncIterator]() : parts[Symbol.iterator]();
  let begun = 0;
  let bytes = 0;
  let done = 0;
  const send = (part: number, piece: Uint8Array): void => {
    const sent = patiently(end.signal, () => carrier.put(id, part, piece, end.signal))
      .then(() => {
        done += piece.length;
        progress?.(done, total ?? bytes);
      })
      .catch((thrown: unknown) => end.end(Fault.from(thrown)));
    const settled = sent.finally(() => onWay.delete(settled));
    onWay.add(settled);
  };
  try {
    for (;;) {
      while (onWay.size >= inFlight) await Promise.race([stopped, ...onWay]);
      const next = await Promise.race([stopped, source.next()]);
      if (next.done === true) break;
      hash.update(next.value);
      bytes += next.value.length;
      send(begun++, next.value);
    }
    await Promise.race([stopped, Promise.all(onWay)]);
    if (end.signal.aborted) throw end.signal.reason;
    if (bytes === 0) throw new Fault("BadRequest", "an empty body needs no store");
    return { id, parts: partsOf(bytes), bytes, sha256: hash.digest("hex") };
  } catch (thrown) {
    const fault = Fault.from(thrown);
    end.end(fault);
    // The source may never give another piece: nobody waits for it.
    void Promise.resolve(source.return?.()).catch(() => undefined);
    if (begun > 0) void Promise.all(onWay).then(() => carrier.drop?.(id, begun));
    throw fault;
  } finally {
    end.release();
  }
}

/** `given`: parts that are there already. */
export interface ReadOptions extends BodyOptions {
  readonly given?: ReadonlyMap<number, Uint8Array>;
}

/**
 * The parts of a body in order, LIMITS.bodyPartsStreamed read ahead. Throws BodyUnavailable for a part that is missing or a digest that
 * is another, or as the carrier does. B1, B3.
 */
export async function* readParts(
  carrier: PartCarrier,
  ref: BodyRef,
  options: ReadOptions = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  const hash = createHash("sha256");
  const end = partsEnd(options.signal);
  const ahead: Promise<Uint8Array>[] = [];
  let asked = 0;
  let done = 0;
  const readOn = (): void => {
    while (asked < ref.parts && ahead.length < LIMITS.bodyPartsStreamed.value) {
      const part = asked++;
      const given = options.given?.get(part);
      const piece = given === undefined ? readPart(carrier, ref, part, end.signal) : Promise.resolve(given);
      piece.catch(() => undefined);
      ahead.push(piece);
    }
  };
  try {
    for (readOn(); ahead.length > 0; ) {
      const piece = (await ahead.shift()) ?? new Uint8Array(0);
      readOn();
      if (end.signal.aborted) throw end.signal.reason;
      hash.update(piece);
      done += piece.length;
      if (ahead.length === 0 && hash.digest("hex") !== ref.sha256)
        throw new Fault("BodyUnavailable", "the large body has another digest than its claim check");
      options.progress?.(done, ref.bytes);
      yield piece;
    }
  } finally {
    end.end(new Fault("Cancelled", "nobody reads the large body any more"));
    end.release();
  }
}
