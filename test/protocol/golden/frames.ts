/** The frames between a host agent and its containers, one of each kind, as bytes. */
import {
  type ContextRequest,
  type ForkEnd,
  FRAME,
  type Frame,
  FrameReader,
  frameHead,
  LOG_STREAM,
  type LoadExtra,
  type Thrown,
} from "../../../protocol/frames.ts";

export interface FrameVector {
  readonly name: string;
  readonly hex: string;
  readonly type: number;
  readonly flags: number;
  readonly id: number;
  /** Hex. */
  readonly extra: string;
  readonly payload: string;
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const json = (value: unknown): Uint8Array => text(JSON.stringify(value));
const NOTHING = new Uint8Array(0);

/** Deadline, then the call id in ASCII. */
function callExtra(): Uint8Array {
  const id = text("0mfk2q8a1k3j9x0q17");
  const extra = new Uint8Array(8 + id.length);
  new DataView(extra.buffer).setFloat64(0, 1_790_000_030_000.5);
  extra.set(id, 8);
  return extra;
}

const load: LoadExtra = {
  account: "main",
  function: "resize-image",
  version: 3,
  memoryMb: 128,
  handler: "handler",
  environment: { GREETING: "hello" },
  cachedBytes: 4,
};
const thrown: Thrown = { type: "TypeError", message: "width is not a number", stack: "TypeError: width\n    at handler (index.js:3:9)" };
const asked = (request: ContextRequest): Uint8Array => json(request);
const ended: ForkEnd = { code: null, signal: 9 };

const FRAMES: readonly (readonly [name: string, type: number, flags: number, id: number, extra: Uint8Array, payload: Uint8Array])[] = [
  ["load", FRAME.load, 0, 0, json(load), text("\0\0\0\0exports.handler = () => 1;")],
  ["load of a file", FRAME.load, 0, 0, json({ ...load, cachedBytes: 0, file: "/code/9f86d081.js" }), NOTHING],
  ["call", FRAME.call, 0, 7, callExtra(), text('{"image":"cat.png"}')],
  ["answer", FRAME.answer, 0, 3, NOTHING, text("42")],
  ["answer that is a fault", FRAME.answer, 1, 3, NOTHING, json({ name: "NotFound", message: "there is no such key" })],
  ["fork", FRAME.fork, 0, 5, json({ socket: "/run/pilot.sock", token: "t0k3n" }), NOTHING],
  ["takeBack", FRAME.takeBack, 0, 7, NOTHING, NOTHING],
  ["ready", FRAME.ready, 0, 0, json({ runtime: "node 20.20.2", pid: 2 }), NOTHING],
  ["ready of a fork", FRAME.ready, 0, 0, json({ runtime: "python 3.11.2", pid: 9, token: "t0k3n" }), NOTHING],
  ["loaded", FRAME.loaded, 0, 0, json({ loadMs: 1.25 }), text("cached")],
  ["loadFailed", FRAME.loadFailed, 0, 0, json(thrown), NOTHING],
  ["result of JSON", FRAME.result, 1, 7, new Uint8Array([0, 0, 1, 44]), text('{"ok":true}')],
  ["result of bytes", FRAME.result, 0, 7, NOTHING, new Uint8Array([0, 255, 1, 254])],
  ["failed", FRAME.failed, 0, 7, json(thrown), NOTHING],
  ["failed by its result", FRAME.failed, 1, 7, json({ type: "ResultTooLarge", message: "the result has 9000000 bytes" }), NOTHING],
  ["log", FRAME.log, LOG_STREAM.stderr, 7, NOTHING, text("first\nsecond\n")],
  ["request of a call", FRAME.request, 0, 1, asked({ kind: "call", call: 7, function: "make-thumbnails.live" }), text("{}")],
  ["request to publish", FRAME.request, 0, 2, asked({ kind: "publish", call: 7, subject: "images.ready" }), text("{}")],
  ["request to keep", FRAME.request, 0, 3, asked({ kind: "kv.put", call: 7, key: "images/cat" }), text("1")],
  ["forkEnded", FRAME.forkEnded, 0, 5, json(ended), NOTHING],
  ["givenBack", FRAME.givenBack, 0, 7, NOTHING, NOTHING],
];

const HEX = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

export function frameVectors(): readonly FrameVector[] {
  return FRAMES.map(([name, type, flags, id, extra, payload]) => ({
    name,
    hex: HEX(Buffer.concat([frameHead(type, flags, id, extra, payload.length), payload])),
    type,
    flags,
    id,
    extra: HEX(extra),
    payload: HEX(payload),
  }));
}

/** The one frame that the bytes are. Throws when they are another number of frames. */
export function readFrame(hex: string): Omit<FrameVector, "name" | "hex"> {
  const read: Frame[] = [];
  const reader = new FrameReader((frame) => read.push(frame), 0xffff, 0xffffff);
  reader.feed(Buffer.from(hex, "hex"));
  const [frame] = read;
  if (frame === undefined || read.length > 1 || reader.held > 0) throw new RangeError(`${read.length} frames`);
  return { type: frame.type, flags: frame.flags, id: frame.id, extra: HEX(frame.extra), payload: HEX(frame.payload) };
}
