/** The real clock, randomness and timers behind the ports of actors/kit/ports.ts. */
import { randomBytes } from "node:crypto";
import { performance } from "node:perf_hooks";
import type { Clock, Random } from "../../actors/kit/ports.ts";

/** Durations and records both come from the monotonic clock: a jump of the wall clock after start moves neither. */
export const systemClock: Clock = {
  now: () => performance.now(),
  epoch: () => performance.timeOrigin + performance.now(),
  after(ms, action) {
    const timer = setTimeout(action, ms);
    return { cancel: () => clearTimeout(timer) };
  },
  every(ms, action) {
    const timer = setInterval(action, ms);
    return { cancel: () => clearInterval(timer) };
  },
  soon(action) {
    setImmediate(action);
  },
};

const ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789";

export const systemRandom: Random = {
  next: () => Math.random(),
  id(length) {
    let text = "";
    // 252 is the largest multiple of 36 below 256: bytes above it would favour the first letters.
    while (text.length < length)
      for (const byte of randomBytes(length)) if (byte < 252 && text.length < length) text += ALPHABET[byte % 36];
    return text;
  },
};
