"use strict";
/**
 * The container's end of fd 3: cuts what arrives into frames and writes frames at once.
 *
 * C1  A frame is on the socket when `send` returns: nothing is queued here, so nothing is lost by process.exit.
 * C2  Views handed to `onFrame` are valid during the call only: the read buffer is used again.
 * C3  A broken or closed channel ends the process: without its host a container has no purpose.
 *
 * The numbers repeat protocol/frames.ts and protocol/limits.ts; test/protocol/frames.test.ts compares them.
 */
const net = require("node:net");
const { writeSync } = require("node:fs");

const CHANNEL = 3;
const FRAME_HEAD = 12;
const FRAME = {
  load: 1,
  call: 2,
  answer: 3,
  fork: 4,
  takeBack: 5,
  ready: 16,
  loaded: 17,
  loadFailed: 18,
  result: 19,
  failed: 20,
  log: 21,
  request: 22,
  forkEnded: 23,
  givenBack: 24,
};
const LOG_STREAM = { stdout: 0, stderr: 1, log: 2 };
const FRAME_EXTRA = 61440;
const FRAME_PAYLOAD = 67108864;
const FRAME_ANSWER = 8388608;
/** Largest body that fits into a message, and largest of a call or result, which then travels in parts. */
const BODY_LIMIT = 4177920;
const LARGE_BODY = 67108864;

/** A frame with a body of 64 KiB comes in one read, and is not copied together: a fifth of its round trip. */
const READ_BYTES = 131072;
const SCRATCH_BYTES = 65536;
const scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
let sleeper;

/** Waits without the event loop for 100 µs: the socket is full and only its reader can help. */
function pause() {
  sleeper ??= new Int32Array(new SharedArrayBuffer(4));
  Atomics.wait(sleeper, 0, 0, 0.1);
}

function writeAll(bytes, from, to) {
  while (from < to) {
    try {
      from += writeSync(CHANNEL, bytes, from, to - from);
    } catch (error) {
      if (error.code === "EAGAIN") pause();
      else process.reallyExit(1);
    }
  }
}

function writeHead(type, flags, id, extraBytes, payloadBytes) {
  scratch[0] = type;
  scratch[1] = flags;
  scratch.writeUInt16BE(extraBytes, 2);
  scratch.writeUInt32BE(id, 4);
  scratch.writeUInt32BE(payloadBytes, 8);
}

/** Sends one frame. `extra` is a Buffer of at most FRAME_EXTRA bytes or null, `payload` a Uint8Array or null. */
function send(type, flags, id, extra, payload) {
  const extraBytes = extra === null ? 0 : extra.length;
  const payloadBytes = payload === null ? 0 : payload.length;
  const start = FRAME_HEAD + extraBytes;
  const whole = start + payloadBytes;
  writeHead(type, flags, id, extraBytes, payloadBytes);
  if (extraBytes > 0) scratch.set(extra, FRAME_HEAD);
  if (whole <= SCRATCH_BYTES) {
    if (payloadBytes > 0) scratch.set(payload, start);
    writeAll(scratch, 0, whole);
  } else {
    writeAll(scratch, 0, start);
    writeAll(payload, 0, payloadBytes);
  }
}

/** Sends one frame whose payload is text; `extra` may be null. False when it is larger than a body may be; nothing was sent then. */
function sendText(type, flags, id, extra, text) {
  const extraBytes = extra === null ? 0 : extra.length;
  const start = FRAME_HEAD + extraBytes;
  if (start + text.length * 3 <= SCRATCH_BYTES) {
    const bytes = scratch.write(text, start);
    writeHead(type, flags, id, extraBytes, bytes);
    if (extra !== null) scratch.set(extra, FRAME_HEAD);
    writeAll(scratch, 0, start + bytes);
    return true;
  }
  if (text.length > LARGE_BODY) return false;
  const payload = Buffer.from(text);
  if (payload.length > LARGE_BODY) return false;
  send(type, flags, id, extra, payload);
  return true;
}

/** Returns a function (bytes, count) that cuts a stream into frames: onFrame(type, flags, id, bytes, extraAt, payloadAt, end). */
function reader(onFrame) {
  let held = null;
  let have = 0;

  const wholeBytes = (bytes, at) => {
    const extra = bytes.readUInt16BE(at + 2);
    const payload = bytes.readUInt32BE(at + 8);
    if (extra > FRAME_EXTRA || payload > FRAME_PAYLOAD) throw new RangeError(`frame of ${extra} + ${payload} bytes`);
    return FRAME_HEAD + extra + payload;
  };
  const deliver = (bytes, at, whole) => {
    const extraAt = at + FRAME_HEAD;
    onFrame(bytes[at], bytes[at + 1], bytes.readUInt32BE(at + 4), bytes, extraAt, extraAt + bytes.readUInt16BE(at + 2), at + whole);
  };

  return (bytes, count) => {
    let at = 0;
    while (at < count) {
      if (held === null) {
        const left = count - at;
        const whole = left < FRAME_HEAD ? FRAME_HEAD : wholeBytes(bytes, at);
        if (left >= FRAME_HEAD && left >= whole) {
          deliver(bytes, at, whole);
          at += whole;
          continue;
        }
        held = Buffer.allocUnsafeSlow(whole);
        have = 0;
      }
      const step = Math.min(held.length - have, count - at);
      bytes.copy(held, have, at, at + step);
      have += step;
      at += step;
      if (have < held.length) continue;
      const whole = wholeBytes(held, 0);
      const full = held;
      held = null;
      if (whole === full.length) deliver(full, 0, whole);
      else {
        held = Buffer.allocUnsafeSlow(whole);
        full.copy(held);
      }
    }
  };
}

/** Starts reading fd 3. Legal once per process. */
function open(onFrame) {
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  const feed = reader(onFrame);
  const onBytes = (count) => {
    feed(buffer, count);
    return true;
  };
  // A buffer of our own halves the cpu time of a round trip against the stream's fresh 64 KiB per read.
  const socket = new net.Socket({
    fd: CHANNEL,
    readable: true,
    writable: false,
    onread: { buffer, callback: onBytes },
  });
  const gone = () => process.exit(0);
  socket.on("end", gone).on("close", gone).on("error", gone).resume();
}

module.exports = {
  FRAME_HEAD,
  FRAME,
  LOG_STREAM,
  FRAME_EXTRA,
  FRAME_PAYLOAD,
  FRAME_ANSWER,
  BODY_LIMIT,
  LARGE_BODY,
  send,
  sendText,
  reader,
  open,
};
