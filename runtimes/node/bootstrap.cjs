"use strict";
/**
 * The Node runtime inside a container: loads one function and runs its calls, one at a time, for the host on fd 3.
 *
 * B1  Calls run in order and never before the code is loaded and the microtasks of its top level have run.
 * B2  A call gets exactly one `result` or `failed`, after all of its log frames.
 * B3  A handler that returns a value costs no promise; only a thenable does.
 * B4  What nobody caught ends the process with code 1, after the running call was told.
 */
const { FRAME, FRAME_ANSWER, LARGE_BODY, send, sendText, open } = require("./channel.cjs");
const output = require("./output.cjs");
const contexts = require("./context.cjs");
const code = require("./code.cjs");
const garbage = require("./garbage.cjs");
const { toValue, asBytes, asJson } = require("./payload.cjs");
const { describe, encode } = require("./thrown.cjs");

const HANDLER_ERROR = 0;
const BAD_RESULT = 1;
const CALLS_WAITING = 64;

const later = setImmediate;
const waiting = [];
let handler;
let loadError;
let state = "blank";
/** Number of the running call; 0 when none runs. Numbers of calls start at 1. */
let current = 0;
let running = false;

function finish() {
  running = false;
  current = 0;
  contexts.ended();
  output.switchTo(0);
  garbage.moved(moved);
  moved = 0;
  if (waiting.length > 0) later(next);
}

function fail(id, flags, shown) {
  if (!running || id !== current) return;
  output.flush();
  send(FRAME.failed, flags, id, encode(shown), null);
  finish();
}

function tooLarge(id, size) {
  fail(id, BAD_RESULT, { type: "ResultTooLarge", message: `the result has ${size} bytes; at most ${LARGE_BODY} can be sent` });
}

function badResult(id, message) {
  fail(id, BAD_RESULT, { type: "BadResult", message });
}

function succeed(id, value) {
  if (!running || id !== current) return;
  let bytes;
  let text;
  try {
    bytes = asBytes(value);
    if (bytes === undefined) text = asJson(value);
  } catch (error) {
    badResult(id, `the result cannot be sent: ${describe(error).message}`);
    return;
  }
  if (bytes !== undefined && bytes.length > LARGE_BODY) {
    tooLarge(id, bytes.length);
    return;
  }
  output.flush();
  took.writeUInt32BE(Math.min(0xffffffff, Math.round((performance.now() - begun) * 1_000)), 0);
  if (bytes !== undefined) send(FRAME.result, 0, id, took, bytes);
  else if (!sendText(FRAME.result, 1, id, took, text)) {
    tooLarge(id, Buffer.byteLength(text));
    return;
  }
  moved += bytes?.length ?? text.length;
  finish();
}

/** Runs one call; the bytes are a view of the read buffer and are used up before the handler runs. */
function call(id, bytes, extraAt, payloadAt, end) {
  const deadline = bytes.readDoubleBE(extraAt);
  const context = contexts.begin(id, bytes.latin1Slice(extraAt + 8, payloadAt), deadline);
  output.switchTo(id);
  current = id;
  running = true;
  begun = performance.now();
  moved = end - payloadAt;
  let value;
  try {
    const event = toValue(bytes, payloadAt, end);
    value = handler(event, context);
    if (typeof value === "object" && value !== null && typeof value.then === "function") {
      value.then(
        (result) => succeed(id, result),
        (error) => fail(id, HANDLER_ERROR, describe(error)),
      );
      return;
    }
  } catch (error) {
    fail(id, HANDLER_ERROR, describe(error));
    return;
  }
  succeed(id, value);
}

/** When the running call began, and, for its result, what it took in microseconds. */
let begun = 0;
const took = Buffer.alloc(4);
/** Bytes that the running call brought, and took away. */
let moved = 0;

function refuse(id) {
  send(FRAME.failed, HANDLER_ERROR, id, encode(loadError), null);
}

/** Takes the next waiting call, if the container is free. */
function next() {
  if (running || state === "blank" || state === "loading") return;
  const first = waiting.shift();
  if (first === undefined) return;
  if (state === "broken") refuse(first.id);
  else call(first.id, first.bytes, 0, first.payloadAt, first.bytes.length);
  if (!running && waiting.length > 0) later(next);
}

function load(bytes, extraAt, payloadAt, end) {
  const start = performance.now();
  state = "loading";
  let fresh = null;
  try {
    const order = JSON.parse(bytes.utf8Slice(extraAt, payloadAt));
    contexts.describeFunction(order);
    garbage.bound(order.memoryMb);
    ({ handler, fresh } = code.run(order, bytes.subarray(payloadAt, end)));
  } catch (error) {
    loadError = describe(error);
    output.flush();
    send(FRAME.loadFailed, 0, 0, encode(loadError), null);
    state = "broken";
    return;
  }
  output.flush();
  const loadMs = Math.round((performance.now() - start) * 1000) / 1000;
  send(FRAME.loaded, 0, 0, Buffer.from(JSON.stringify({ loadMs })), fresh !== null && fresh.length <= FRAME_ANSWER ? fresh : null);
  later(() => {
    state = "ready";
    output.switchTo(0);
    next();
  });
}

function onFrame(type, flags, id, bytes, extraAt, payloadAt, end) {
  if (type === FRAME.call) {
    if (state === "ready" && !running && waiting.length === 0) call(id, bytes, extraAt, payloadAt, end);
    else if (waiting.length < CALLS_WAITING) {
      waiting.push({ id, bytes: Buffer.from(bytes.subarray(extraAt, end)), payloadAt: payloadAt - extraAt });
      later(next);
    } else send(FRAME.failed, HANDLER_ERROR, id, encode({ type: "Throttled", message: "too many calls wait in this container" }), null);
  } else if (type === FRAME.takeBack) {
    const at = waiting.findIndex((one) => one.id === id);
    // Not found: it has begun, and will be answered.
    if (at >= 0) {
      waiting.splice(at, 1);
      send(FRAME.givenBack, 0, id, null, null);
    }
  } else if (type === FRAME.answer) contexts.answered(flags, id, bytes, payloadAt, end);
  else if (type === FRAME.load && state === "blank") load(bytes, extraAt, payloadAt, end);
}

function die(error, prefix) {
  const shown = describe(error, prefix);
  if (running) fail(current, HANDLER_ERROR, shown);
  else process.stderr.write(`${shown.stack ? `${prefix}${shown.stack}` : `${shown.type}: ${shown.message}`}\n`);
  process.exit(1);
}

process.on("exit", () => output.flush());
// A function that listens itself decides itself.
process.on("uncaughtException", (error) => {
  if (process.listenerCount("uncaughtException") === 1) die(error, "Uncaught exception: ");
});
process.on("unhandledRejection", (error) => {
  if (process.listenerCount("unhandledRejection") === 1) die(error, "Unhandled rejection: ");
});

/** Runs the parts of a load and a call once: V8 compiles them now, while nobody waits, and not in the first call. */
function warmUp() {
  const order = { account: "", function: "", version: 0, memoryMb: 0, handler: "handler", environment: {}, cachedBytes: 0 };
  const first = code.run(order, Buffer.from("exports.handler = (event) => event;"));
  contexts.describeFunction(order);
  const body = Buffer.from('{"a":1}');
  asJson(first.handler(toValue(body, 0, body.length), contexts.begin(0, "", 0)));
  asBytes(body);
  contexts.ended();
  output.switchTo(0);
}

code.clearEnvironment();
warmUp();
output.install();
open(onFrame);
send(FRAME.ready, 0, 0, Buffer.from(JSON.stringify({ runtime: `node ${process.versions.node}`, pid: process.pid })), null);
