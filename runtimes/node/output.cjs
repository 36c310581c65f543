"use strict";
/**
 * What a function prints, as log frames tied to the running call.
 *
 * O1  Whole lines leave at once; the rest of a line waits for its end or for the end of the call.
 * O2  A call gets LOG_PER_CALL bytes in all, a line LOG_LINE; so does the time between two calls, which is call 0.
 */
const { Writable } = require("node:stream");
const { StringDecoder } = require("node:string_decoder");
const { FRAME, LOG_STREAM, sendText } = require("./channel.cjs");
const { cut } = require("./thrown.cjs");

const LOG_LINE = 8192;
const LOG_PER_CALL = 262144;
const TRUNCATED = "… output truncated\n";

let call = 0;
let left = LOG_PER_CALL;
const partial = ["", "", ""];

function cutLines(text) {
  if (text.length * 3 <= LOG_LINE) return text;
  return text
    .split("\n")
    .map((line) => cut(line, LOG_LINE))
    .join("\n");
}

/** Sends whole lines as far as the call's allowance goes. */
function emit(stream, lines, of = call) {
  if (left <= 0) return;
  const text = cutLines(lines);
  const bytes = Buffer.byteLength(text);
  if (bytes <= left) {
    left -= bytes;
    sendText(FRAME.log, stream, of, null, text);
    return;
  }
  const fitting = cut(text, left);
  left = 0;
  sendText(FRAME.log, stream, of, null, `${fitting}\n${TRUNCATED}`);
}

function write(stream, text) {
  if (left <= 0) return;
  if (text.length > left) {
    // What cannot be sent anyway is not even looked at: a single write may be hundreds of megabytes.
    emit(stream, `${partial[stream]}${text.slice(0, left)}\n`);
    partial[stream] = "";
    if (left > 0) sendText(FRAME.log, stream, call, null, TRUNCATED);
    left = 0;
    return;
  }
  const whole = partial[stream] + text;
  const end = whole.lastIndexOf("\n") + 1;
  partial[stream] = end === 0 ? whole.slice(0, LOG_LINE + 1) : whole.slice(end);
  if (end > 0) emit(stream, end === whole.length ? whole : whole.slice(0, end));
}

/** Sends unfinished lines too. */
function flush() {
  for (let stream = 0; stream < partial.length; stream += 1) {
    const rest = partial[stream];
    if (rest === "") continue;
    partial[stream] = "";
    emit(stream, `${rest}\n`);
  }
}

/** From now on output belongs to call `id`; 0 is no call. */
function switchTo(id) {
  if (partial[0] !== "" || partial[1] !== "") flush();
  call = id;
  left = LOG_PER_CALL;
}

/** One line of context.log of call `of`; when that has ended, it belongs to no call. */
function line(of, text) {
  emit(LOG_STREAM.log, `${text}\n`, of === call ? call : 0);
}

class LogStream extends Writable {
  constructor(fd) {
    super({ decodeStrings: false });
    this.fd = fd;
    this.decoder = new StringDecoder("utf8");
  }
  _write(chunk, _encoding, done) {
    write(this.fd - 1, typeof chunk === "string" ? chunk : this.decoder.write(chunk));
    done();
  }
  // As Node's own: it stays open as long as the process lives.
  end(chunk) {
    if (chunk !== undefined && typeof chunk !== "function") this.write(chunk);
    return this;
  }
  destroy() {
    return this;
  }
}

/** Puts the streams where process.stdout and process.stderr were; console finds them there. */
function install() {
  for (const [name, fd] of [
    ["stdout", 1],
    ["stderr", 2],
  ]) {
    let stream;
    Object.defineProperty(process, name, { configurable: true, enumerable: true, get: () => (stream ??= new LogStream(fd)) });
  }
}

module.exports = { LOG_LINE, LOG_PER_CALL, install, flush, switchTo, line };
