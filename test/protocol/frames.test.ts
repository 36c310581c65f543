import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import test from "ava";
import fc from "fast-check";
import { FRAME, FRAME_HEAD, type Frame, FrameError, FrameReader, frameHead, LOG_STREAM } from "../../protocol/frames.ts";
import { BODY_LIMIT, LIMITS } from "../../protocol/limits.ts";
import { projectRoot } from "../support/project-root.ts";

const MAX_EXTRA = 300;
const MAX_PAYLOAD = 2000;

const anyFrame = fc.record({
  type: fc.integer({ min: 0, max: 255 }),
  flags: fc.integer({ min: 0, max: 255 }),
  id: fc.integer({ min: 0, max: 0xffffffff }),
  extra: fc.uint8Array({ maxLength: MAX_EXTRA }),
  payload: fc.uint8Array({ maxLength: MAX_PAYLOAD }),
});

function stream(frames: readonly Frame[]): Uint8Array {
  return Buffer.concat(
    frames.flatMap((frame) => [frameHead(frame.type, frame.flags, frame.id, frame.extra, frame.payload.length), frame.payload]),
  );
}

/** What a reader makes of some chunks; the frames are copied because they are views. */
function readAll(chunks: readonly Uint8Array[]): Frame[] {
  const frames: Frame[] = [];
  const reader = new FrameReader(
    (frame) => frames.push({ ...frame, extra: Uint8Array.from(frame.extra), payload: Uint8Array.from(frame.payload) }),
    MAX_EXTRA,
    MAX_PAYLOAD,
  );
  for (const chunk of chunks) reader.feed(chunk);
  return frames;
}

function split(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return places.slice(1).map((end, at) => bytes.subarray(places[at], end));
}

test("any split of a stream yields the same frames", (t) => {
  fc.assert(
    fc.property(fc.array(anyFrame, { maxLength: 6 }), fc.array(fc.nat({ max: 20_000 }), { maxLength: 30 }), (frames, cuts) => {
      t.deepEqual(readAll(split(stream(frames), cuts)), frames);
    }),
    { numRuns: 200 },
  );
  t.pass();
});

test("a stream that arrives byte by byte yields the same frames", (t) => {
  fc.assert(
    fc.property(fc.array(anyFrame, { maxLength: 2 }), (frames) => {
      t.deepEqual(readAll([...stream(frames)].map((byte) => Uint8Array.of(byte))), frames);
    }),
    { numRuns: 20 },
  );
  t.pass();
});

test("a frame over a limit is refused as soon as its head is there, wherever the stream is cut", (t) => {
  fc.assert(
    fc.property(
      fc.array(anyFrame, { maxLength: 2 }),
      fc.oneof(
        fc.record({ extra: fc.integer({ min: MAX_EXTRA + 1, max: 0xffff }), payload: fc.nat({ max: 0xffffffff }) }),
        fc.record({ extra: fc.nat({ max: MAX_EXTRA }), payload: fc.integer({ min: MAX_PAYLOAD + 1, max: 0xffffffff }) }),
      ),
      fc.array(fc.nat({ max: 20_000 }), { maxLength: 10 }),
      (frames, sizes, cuts) => {
        const head = Buffer.alloc(FRAME_HEAD);
        head.writeUInt16BE(sizes.extra, 2);
        head.writeUInt32BE(sizes.payload, 8);
        t.throws(() => readAll(split(Buffer.concat([stream(frames), head]), cuts)), { instanceOf: FrameError });
      },
    ),
    { numRuns: 100 },
  );
  t.pass();
});

test("garbage yields frames or a FrameError, nothing else", (t) => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 500 }), { maxLength: 10 }), (chunks) => {
      try {
        readAll(chunks);
      } catch (error) {
        t.true(error instanceof FrameError);
      }
    }),
  );
  t.pass();
});

const read = (file: string): string => readFileSync(path.join(projectRoot(), file), "utf8");

test("the Node bootstrap repeats the numbers of the protocol", (t) => {
  const require = createRequire(import.meta.url);
  const channel = require(path.join(projectRoot(), "runtimes/node/channel.cjs")) as Record<string, unknown>;
  t.deepEqual(channel["FRAME"], { ...FRAME });
  t.deepEqual(channel["LOG_STREAM"], { ...LOG_STREAM });
  t.is(channel["FRAME_HEAD"], FRAME_HEAD);
  t.is(channel["FRAME_EXTRA"], LIMITS.frameExtra.value);
  t.is(channel["FRAME_PAYLOAD"], LIMITS.framePayload.value);
  t.is(channel["FRAME_ANSWER"], LIMITS.frameAnswer.value);
  t.is(channel["BODY_LIMIT"], BODY_LIMIT);
  t.is(channel["LARGE_BODY"], LIMITS.largeBody.value);
  const number = (file: string, name: string): number =>
    Number(new RegExp(`^const ${name} = (\\d+);$`, "m").exec(read(`runtimes/node/${file}`))?.[1]);
  t.is(number("output.cjs", "LOG_LINE"), LIMITS.logLine.value);
  t.is(number("output.cjs", "LOG_PER_CALL"), LIMITS.logPerCall.value);
  t.is(number("context.cjs", "REQUESTS_IN_FLIGHT"), LIMITS.requestsInFlight.value);
});

test("the Python bootstrap repeats the numbers of the protocol", (t) => {
  const numbersIn = (file: string): Record<string, number> =>
    Object.fromEntries(
      [...read(`runtimes/python/pilot_runtime/${file}`).matchAll(/^([A-Z_]+) = (\d+)$/gm)].map(([, name, value]) => [name, Number(value)]),
    );
  const upper = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
  const channel = numbersIn("channel.py");
  for (const [name, value] of Object.entries(FRAME)) t.is(channel[`FRAME_${upper(name)}`], value, name);
  for (const [name, value] of Object.entries(LOG_STREAM)) t.is(channel[`LOG_${upper(name)}`], value, name);
  t.is(channel["FRAME_HEAD"], FRAME_HEAD);
  t.is(channel["FRAME_EXTRA"], LIMITS.frameExtra.value);
  t.is(channel["FRAME_PAYLOAD"], LIMITS.framePayload.value);
  t.is(channel["BODY_LIMIT"], BODY_LIMIT);
  t.is(channel["LARGE_BODY"], LIMITS.largeBody.value);
  t.is(numbersIn("output.py")["LOG_LINE"], LIMITS.logLine.value);
  t.is(numbersIn("output.py")["LOG_PER_CALL"], LIMITS.logPerCall.value);
  t.is(numbersIn("context.py")["REQUESTS_IN_FLIGHT"], LIMITS.requestsInFlight.value);
});

test("a frame of a type that may be large has a bound of its own", (t) => {
  const read = (type: number, size: number) => {
    const got: number[] = [];
    const reader = new FrameReader((frame) => got.push(frame.payload.length), MAX_EXTRA, 100, {
      types: new Set([FRAME.result]),
      bytes: 200,
    });
    reader.feed(Buffer.concat([frameHead(type, 0, 1, new Uint8Array(), size), Buffer.alloc(size)]));
    return got;
  };
  t.deepEqual(read(FRAME.result, 200), [200]);
  t.deepEqual(read(FRAME.log, 100), [100]);
  t.throws(() => read(FRAME.result, 201), { instanceOf: FrameError });
  t.throws(() => read(FRAME.log, 101), { instanceOf: FrameError });
});
