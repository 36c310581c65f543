"use strict";
/**
 * The second argument of a handler. What it asks of the host travels as `request` frames, at most
 * REQUESTS_IN_FLIGHT at a time; each is answered by an `answer` frame with bytes or with a fault.
 */
const { FRAME, FRAME_EXTRA, BODY_LIMIT, LARGE_BODY, send } = require("./channel.cjs");
const output = require("./output.cjs");
const { toValue, asBytes, asJson } = require("./payload.cjs");
const { describe, cut } = require("./thrown.cjs");

const REQUESTS_IN_FLIGHT = 64;
const NOTHING = Buffer.alloc(0);
const now = Date.now;
const open = new Map();
let lastRequest = 0;
let running = 0;

/** An error with a name of the platform's table, as `Fault`s of the host arrive. */
function fault(name, message, details) {
  const error = new Error(message);
  error.name = name;
  error.code = name;
  if (details !== undefined) error.details = details;
  return error;
}

function ask(call, what, payload) {
  return new Promise((resolve, reject) => {
    if (call !== running) throw fault("BadRequest", `${what.kind} after the call has ended`);
    if (open.size >= REQUESTS_IN_FLIGHT) throw fault("Throttled", `more than ${REQUESTS_IN_FLIGHT} requests in flight`);
    const extra = Buffer.from(JSON.stringify(what));
    if (extra.length > FRAME_EXTRA) throw fault("BadRequest", `the name in ${what.kind} is too long`);
    const bytes = payload === undefined ? NOTHING : (asBytes(payload) ?? Buffer.from(asJson(payload)));
    const most = what.kind === "call" ? LARGE_BODY : BODY_LIMIT;
    if (bytes.length > most) throw fault("PayloadTooLarge", `${bytes.length} bytes; at most ${most} can be sent`);
    lastRequest = (lastRequest + 1) >>> 0 || 1;
    open.set(lastRequest, { resolve, reject, kind: what.kind });
    send(FRAME.request, 0, lastRequest, extra, bytes);
  });
}

/** An `answer` frame: settles the request it belongs to; answers nobody waits for are dropped. */
function answered(flags, id, bytes, from, to) {
  const request = open.get(id);
  if (request === undefined) return;
  open.delete(id);
  if (flags !== 1) {
    request.resolve(request.kind === "call" || request.kind === "kv.get" ? toValue(bytes, from, to) : undefined);
    return;
  }
  let data;
  try {
    data = JSON.parse(bytes.utf8Slice(from, to));
  } catch {
    data = { name: "Internal", message: "an answer of the host could not be read" };
  }
  if (request.kind === "kv.get" && data.name === "NotFound") request.resolve(undefined);
  else request.reject(fault(String(data.name), String(data.message), data.details));
}

function logLine(call, level, message, fields) {
  const head = { level, time: now(), msg: typeof message === "string" ? message : describe(message).message };
  let text;
  try {
    text = JSON.stringify({ ...head, ...(fields instanceof Error ? { error: fields } : fields), ...head }, (_key, value) =>
      value instanceof Error ? describe(value) : value,
    );
  } catch (error) {
    text = JSON.stringify({ ...head, fields: `not JSON: ${cut(describe(error).message, 256)}` });
  }
  if (text.length * 3 > output.LOG_LINE && Buffer.byteLength(text) > output.LOG_LINE) {
    text = JSON.stringify({ ...head, msg: cut(head.msg, output.LOG_LINE >> 3), truncated: true });
  }
  output.line(call, text);
}

const LEVELS = ["debug", "info", "warn", "error"];

class Context {
  #call;

  constructor(call, callId, deadline) {
    this.#call = call;
    this.callId = callId;
    this.awsRequestId = callId;
    this.functionName = Context.function;
    this.functionVersion = Context.version;
    this.account = Context.account;
    this.memoryLimitInMB = Context.memoryMb;
    this.deadline = deadline;
    this.getRemainingTimeInMillis = () => Math.max(0, deadline - now());
    this.call = (name, payload) => ask(call, { kind: "call", call, function: String(name) }, payload);
    this.publish = (subject, payload) => ask(call, { kind: "publish", call, subject: String(subject) }, payload);
  }

  get log() {
    const call = this.#call;
    return Object.fromEntries(LEVELS.map((level) => [level, (message, fields) => logLine(call, level, message, fields)]));
  }

  get kv() {
    const call = this.#call;
    return {
      get: (key) => ask(call, { kind: "kv.get", call, key: String(key) }),
      put: (key, value) => ask(call, { kind: "kv.put", call, key: String(key) }, value),
      delete: (key) => ask(call, { kind: "kv.delete", call, key: String(key) }),
    };
  }
}

/** What is the same for every call of this container. */
function describeFunction(load) {
  Context.function = load.function;
  Context.version = String(load.version);
  Context.account = load.account;
  Context.memoryMb = load.memoryMb;
}

/** The context of call number `call`, which is the running one until `ended`. */
function begin(call, callId, deadline) {
  running = call;
  return new Context(call, callId, deadline);
}

function ended() {
  running = 0;
}

module.exports = { REQUESTS_IN_FLIGHT, describeFunction, begin, ended, answered };
