"use strict";
/**
 * Describes anything that can be thrown as {type, message, stack}, bounded, without trusting it:
 * getters may throw, messages may be huge, and what was thrown need not be an Error.
 */
const { FRAME_EXTRA } = require("./channel.cjs");

const TYPE_CHARACTERS = 256;
const MESSAGE_BYTES = 8192;
const STACK_BYTES = 32768;
const CAUSES = 3;

/** The beginning of a text, at most `bytes` long in UTF-8. */
function cut(text, bytes) {
  if (text.length * 3 <= bytes) return text;
  const encoded = Buffer.from(text.length > bytes ? text.slice(0, bytes) : text);
  if (encoded.length <= bytes && text.length <= bytes) return text;
  return `${encoded.toString("utf8", 0, bytes - 4).replace(/\ufffd$/, "")}…`;
}

function read(object, key) {
  try {
    const value = object[key];
    return typeof value === "string" && value !== "" ? value : undefined;
  } catch {
    return undefined;
  }
}

function nameOf(object) {
  try {
    const name = object.constructor.name;
    return typeof name === "string" && name !== "" ? name : undefined;
  } catch {
    return undefined;
  }
}

function textOf(value) {
  try {
    if (typeof value === "object") return JSON.stringify(value) ?? String(value);
    return String(value);
  } catch {
    return "something that cannot be shown";
  }
}

/** The stack without the frames of this runtime, and with a huge message cut inside it too. */
function stackOf(error, message) {
  let stack = read(error, "stack");
  if (stack === undefined) return undefined;
  if (message.length > MESSAGE_BYTES) {
    const at = stack.indexOf(message);
    if (at >= 0) stack = stack.slice(0, at) + cut(message, MESSAGE_BYTES) + stack.slice(at + message.length);
  }
  return cut(stack, STACK_BYTES)
    .split("\n")
    .filter((line) => !line.includes(__dirname) && !line.includes("(node:internal") && !line.startsWith("    at node:internal"))
    .join("\n");
}

function causesOf(error) {
  let text = "";
  let cause = error;
  for (let depth = 0; depth < CAUSES; depth += 1) {
    try {
      cause = cause.cause;
    } catch {
      return text;
    }
    if (cause === undefined || cause === null) return text;
    const shown = describeOne(cause);
    text += `\ncaused by ${shown.stack ?? `${shown.type}: ${shown.message}`}`;
  }
  return text;
}

function describeOne(error) {
  if ((typeof error !== "object" && typeof error !== "function") || error === null) {
    return { type: error === null ? "null" : typeof error, message: cut(textOf(error), MESSAGE_BYTES) };
  }
  const own = read(error, "message");
  const stack = stackOf(error, own ?? "");
  const type = (read(error, "name") ?? nameOf(error) ?? "object").slice(0, TYPE_CHARACTERS);
  const message = cut(own ?? (stack === undefined ? textOf(error) : ""), MESSAGE_BYTES);
  return stack === undefined ? { type, message } : { type, message, stack };
}

/** {type, message[, stack]} of anything; never throws. `prefix` goes before the message. */
function describe(error, prefix) {
  const shown = describeOne(error);
  if (prefix) shown.message = prefix + shown.message;
  if (shown.stack !== undefined) shown.stack = cut(shown.stack + causesOf(error), STACK_BYTES);
  return shown;
}

/** A description as JSON bytes that fit the extra part of a frame: escapes can make them six times longer. */
function encode(shown) {
  for (;;) {
    const bytes = Buffer.from(JSON.stringify(shown));
    if (bytes.length <= FRAME_EXTRA) return bytes;
    if (shown.stack !== undefined && shown.stack.length > 1024) shown = { ...shown, stack: shown.stack.slice(0, shown.stack.length >> 1) };
    else shown = { ...shown, message: shown.message.slice(0, shown.message.length >> 1) };
  }
}

module.exports = { describe, encode, cut };
