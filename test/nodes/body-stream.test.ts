/** Large bodies that nobody holds whole. */
import { createHash, randomBytes } from "node:crypto";
import test from "ava";
import fc from "fast-check";
import { partsFrom, readParts, writeParts } from "../../nodes/io/body-stream.ts";
import type { PartCarrier } from "../../nodes/io/part-carrier.ts";
import { Stop } from "../../nodes/io/stop-signal.ts";
import type { BodyRef } from "../../protocol/bodies.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { until } from "../support/until.ts";

const PART = LIMITS.bodyPart.value;
const MOST = LIMITS.bodyPartsStreamed.value;

/** A store in memory that counts what is on its way. */
function memoryCarrier() {
  const parts = new Map<number, Uint8Array>();
  const seen = { onWay: 0, most: 0, dropped: [] as number[] };
  let gate: Promise<void> = Promise.resolve();
  const step = async <T>(act: () => T): Promise<T> => {
    seen.onWay += 1;
    seen.most = Math.max(seen.most, seen.onWay);
    await gate;
    await new Promise((resolve) => setImmediate(resolve));
    seen.onWay -= 1;
    return act();
  };
  const carrier: PartCarrier = {
    put: (_, part, bytes) => step(() => void parts.set(part, bytes)),
    get: (_, part) =>
      step(() => {
        const bytes = parts.get(part);
        if (bytes === undefined) throw new Fault("BodyUnavailable", "not there");
        return bytes;
      }),
    drop: (_, count) => void seen.dropped.push(count),
  };
  return { carrier, parts, seen, hold: (until: Promise<void>) => void (gate = until) };
}

async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function all(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const got: Uint8Array[] = [];
  for await (const piece of pieces) got.push(piece);
  return Buffer.concat(got);
}

const errorOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "",
    (thrown: unknown) => Fault.from(thrown).name,
  );

test("pieces of any size become parts of one size, in their order", async (t) => {
  const whole = randomBytes(2 * PART + 100);
  const sizes = fc.oneof(fc.integer({ min: 5_000, max: 70_000 }), fc.constantFrom(PART - 1, PART, PART + 1, 3 * PART));
  await fc.assert(
    fc.asyncProperty(sizes, fc.constantFrom(1, PART - 1, PART, PART + 1, 2 * PART, whole.length), async (size, length) => {
      const bytes = whole.subarray(0, length);
      const parts: Uint8Array[] = [];
      for await (const part of partsFrom(inPieces(bytes, size))) parts.push(part);
      t.true(parts.slice(0, -1).every((part) => part.length === PART));
      t.true(Buffer.concat(parts).equals(bytes));
      t.is(parts.length, Math.ceil(length / PART));
    }),
    { numRuns: 30 },
  );
});

test("a body goes and comes with a few parts on their way, and has the digest of the whole", async (t) => {
  const bytes = randomBytes(12 * PART + 7);
  const { carrier, seen } = memoryCarrier();
  const told: string[] = [];
  const progress = (done: number, total: number) => void told.push(`${done === total}`);
  const ref = await writeParts(carrier, partsFrom(inPieces(bytes, 65_536)), { total: bytes.length, progress });
  t.deepEqual([ref.bytes, ref.parts], [bytes.length, 13]);
  t.is(ref.sha256, createHash("sha256").update(bytes).digest("hex"));
  t.is(seen.most, MOST);
  seen.most = 0;
  t.true((await all(readParts(carrier, ref, { progress }))).equals(bytes));
  t.true(seen.most <= MOST);
  t.is(told.filter((one) => one === "true").length, 2);
  t.deepEqual(seen.dropped, []);
});

test("a store that stands still holds up the source", async (t) => {
  const { carrier, hold } = memoryCarrier();
  let open = (): void => undefined;
  hold(new Promise((resolve) => void (open = resolve)));
  let read = 0;
  const source = async function* () {
    for (; read < 20; read++) yield randomBytes(PART);
  };
  const written = writeParts(carrier, source());
  for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve));
  t.true(read <= MOST, `${read} parts were read`);
  open();
  t.is((await written).parts, 20);
});

test("what fails is removed when the parts on their way have come to rest: by its source, by the store, by its signal", async (t) => {
  const broken = memoryCarrier();
  const source = async function* () {
    yield randomBytes(PART);
    yield randomBytes(PART);
    throw new Fault("Cancelled", "the client is gone");
  };
  t.is(await errorOf(writeParts(broken.carrier, source())), "Cancelled");
  await until(() => (broken.seen.dropped.length === 1 ? true : undefined), "the removal");
  t.deepEqual([broken.seen.dropped, broken.seen.onWay], [[2], 0]);

  const full = memoryCarrier();
  let returned = false;
  const endless = async function* () {
    try {
      for (;;) yield randomBytes(PART);
    } finally {
      returned = true;
    }
  };
  const refusing: PartCarrier = { ...full.carrier, put: () => Promise.reject(new Fault("Conflict", "no")) };
  t.is(await errorOf(writeParts(refusing, endless())), "Conflict");
  await until(() => (full.seen.dropped.length === 1 && returned ? true : undefined), "the removal and the end of the source");

  const stopped = memoryCarrier();
  const stop = new Stop();
  const silent = async function* () {
    yield randomBytes(PART);
    await new Promise(() => undefined);
  };
  const written = errorOf(writeParts(stopped.carrier, silent(), { signal: stop }));
  await until(() => (stopped.parts.size === 1 ? true : undefined), "the first part");
  stop.abort(new Fault("Draining", "enough"));
  t.is(await written, "Draining");
  await until(() => (stopped.seen.dropped.length === 1 ? true : undefined), "the removal");
});

test("more than the limit is refused when it is seen, and nothing is no body", async (t) => {
  const { carrier, seen } = memoryCarrier();
  const piece = new Uint8Array(PART);
  const endless = async function* () {
    for (;;) yield piece;
  };
  t.is(await errorOf(writeParts(carrier, partsFrom(endless()))), "PayloadTooLarge");
  await until(() => (seen.dropped.length === 1 ? true : undefined), "the removal");
  t.is(await errorOf(writeParts(carrier, partsFrom([]))), "BadRequest");
});

test("of a body with another digest the last part is never seen, and a missing part ends it", async (t) => {
  const bytes = randomBytes(6 * PART);
  const { carrier, parts } = memoryCarrier();
  const ref: BodyRef = await writeParts(carrier, partsFrom(inPieces(bytes, PART)));
  const read = async (claim: BodyRef): Promise<[number, string]> => {
    let seen = 0;
    const error = await errorOf(
      (async () => {
        for await (const piece of readParts(carrier, claim)) seen += piece.length;
      })(),
    );
    return [seen, error];
  };
  t.deepEqual(await read(ref), [bytes.length, ""]);
  t.deepEqual(await read({ ...ref, sha256: "0".repeat(64) }), [5 * PART, "BodyUnavailable"]);
  t.deepEqual(await read({ ...ref, bytes: ref.bytes - 1 }), [5 * PART, "BodyUnavailable"]);
  parts.delete(3);
  t.deepEqual(await read(ref), [3 * PART, "BodyUnavailable"]);
});

test("a listener of progress that throws ends the body, and no process", async (t) => {
  const { carrier, seen } = memoryCarrier();
  const progress = (done: number): void => {
    if (done > PART) throw new Error("a mistake of the caller");
  };
  t.is(await errorOf(writeParts(carrier, partsFrom(inPieces(randomBytes(20 * PART), PART)), { progress })), "Internal");
  await until(() => (seen.dropped.length === 1 ? true : undefined), "what was stored to be removed");
});
