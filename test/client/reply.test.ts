import test from "ava";
import { isPilotError, PilotError } from "../../client/error.ts";
import { replyOf } from "../../client/reply.ts";
import { Fault } from "../../protocol/errors.ts";

const reply = (text: string | Uint8Array, headers: Record<string, string> = {}) =>
  replyOf({ body: typeof text === "string" ? new TextEncoder().encode(text) : text, headers });

test("a reply is a value where it is JSON, undefined where it is empty, else bytes", (t) => {
  t.deepEqual(reply('{"a":[1]}').value(), { a: [1] });
  t.is(reply("").value(), undefined);
  t.is(reply("").text(), "");
  t.deepEqual(reply(Uint8Array.of(0x22, 0xff, 0x22)).value(), Uint8Array.of(0x22, 0xff, 0x22));
  t.deepEqual(reply("words").value(), new TextEncoder().encode("words"));
});

test("a small reply does not keep the buffer that it came in", (t) => {
  const large = new Uint8Array(65_536).fill(7);
  t.is(reply(large.subarray(10, 20)).bytes.buffer.byteLength, 10);
  t.is(reply(large.subarray(0, 60_000)).bytes.buffer, large.buffer);
});

test("a traced reply says how the call was placed, another says nothing", (t) => {
  t.is(reply("1").trace, undefined);
  const { trace } = reply("1", { "Pilot-Rung": "hot", "Pilot-Call": "c", "Pilot-Version": "3", "Pilot-Times": "1.5;2.5;4" });
  t.like(trace, { rung: "hot", call: "c", version: 3, receivedAt: 1.5, startedAt: 2.5, endedAt: 4, coldCause: undefined });
});

test("an error keeps what the platform said of it, and anything else becomes one", (t) => {
  const details = { retryAfterMs: 250, stack: "RangeError: x\n  at y", undelivered: true, headers: { "Pilot-Call": "c" } };
  const error = PilotError.of(new Fault("Throttled", "full", details));
  t.like(error, { name: "Throttled", code: 429, fault: "platform", retry: "later", retryAfterMs: 250, neverRan: true });
  t.is(error.functionStack, "RangeError: x\n  at y");
  t.is(error.headers["Pilot-Call"], "c");
  t.is(PilotError.of(error), error);
  t.is(PilotError.of(new Fault("Crashed", "x", { next: "Look." })).next, "Look.");
  const odd = PilotError.of(new TypeError("odd"));
  t.is(odd.name, "Internal");
  t.true(odd.cause instanceof TypeError);
  t.true(isPilotError(error));
  t.true(isPilotError(error, "Throttled"));
  t.false(isPilotError(error, "TimedOut"));
  t.false(isPilotError(new Error("x")));
});
