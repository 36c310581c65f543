/** The only import of msgpackr: plain maps, no records, so that any language can join. */
import { type Options, Packr } from "msgpackr";

// skipValues works but is missing from the shipped types.
const options: Options & { skipValues: unknown[] } = { useRecords: false, int64AsType: "number", skipValues: [undefined] };
const packr = new Packr(options);

export function encode(value: unknown): Uint8Array {
  return packr.pack(value);
}

/** Throws on malformed bytes: decode only inside a try, then validate. Decoded bytes are views: copy what is kept. */
export function decode(bytes: Uint8Array): unknown {
  return packr.unpack(bytes);
}

/** A head and the caller's untouched bytes in one message: u16 head length, msgpack head, body. */
export function joinHead(head: unknown, body: Uint8Array): Uint8Array {
  const packed = packr.pack(head);
  if (packed.length > 0xffff) throw new RangeError("head over 64 KiB");
  const whole = new Uint8Array(2 + packed.length + body.length);
  whole[0] = packed.length >> 8;
  whole[1] = packed.length & 0xff;
  whole.set(packed, 2);
  whole.set(body, 2 + packed.length);
  return whole;
}

/** The reverse of joinHead. The body is a view. Throws when the bytes are not of that form. */
export function splitHead(whole: Uint8Array): { head: unknown; body: Uint8Array } {
  if (whole.length < 2) throw new RangeError("no head");
  const length = ((whole[0] as number) << 8) | (whole[1] as number);
  if (whole.length < 2 + length) throw new RangeError("half a head");
  return { head: packr.unpack(whole.subarray(2, 2 + length)), body: whole.subarray(2 + length) };
}
