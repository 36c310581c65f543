"use strict";
/** How bytes become values and values become bytes: events, results, and what context.call and kv carry. */
const { isUtf8 } = require("node:buffer");

const parse = JSON.parse;
const stringify = JSON.stringify;

/** Above this a frame was gathered in a buffer of its own, which is not used again. */
const OWN_BUFFER = 1 << 20;

/** JSON when the bytes are JSON, else a copy of the bytes (a Buffer). No bytes are no JSON. */
function toValue(bytes, from, to) {
  if (from < to && mayBeJson(bytes[from])) {
    const text = bytes.utf8Slice(from, to);
    try {
      const value = parse(text);
      // A replacement character may stand for bytes that are not UTF-8: that is not JSON, and parsing would lose them.
      if (!text.includes("\ufffd") || isUtf8(bytes.subarray(from, to))) return value;
    } catch {
      // not JSON
    }
  }
  const view = bytes.subarray(from, to);
  return view.length > OWN_BUFFER ? view : Buffer.from(view);
}

/** First bytes that JSON may have: saves most bodies that are not JSON the exception. */
function mayBeJson(byte) {
  return (
    byte === 0x7b ||
    byte === 0x5b ||
    byte === 0x22 ||
    (byte >= 0x30 && byte <= 0x39) ||
    byte === 0x2d ||
    byte === 0x74 ||
    byte === 0x66 ||
    byte === 0x6e ||
    byte === 0x20 ||
    byte === 0x0a ||
    byte === 0x0d ||
    byte === 0x09
  );
}

/** The bytes of a value that is bytes (Buffer, any view, ArrayBuffer), else undefined. */
function asBytes(value) {
  if (typeof value !== "object" || value === null) return undefined;
  if (ArrayBuffer.isView(value))
    return value instanceof Uint8Array ? value : new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  if (value instanceof ArrayBuffer || value instanceof SharedArrayBuffer) return new Uint8Array(value);
  return undefined;
}

/** JSON text of a value; `undefined` is null. Throws a TypeError that names what cannot be JSON. */
function asJson(value) {
  if (value === undefined) return "null";
  const text = stringify(value);
  if (text === undefined) throw new TypeError(`a ${typeof value} cannot be sent as JSON`);
  return text;
}

module.exports = { toValue, asBytes, asJson };
