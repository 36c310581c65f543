import { isUtf8 } from "node:buffer";
import test from "ava";
import fc from "fast-check";
import { contentTypeOf, faultReply, largeTypeOf, resultReply } from "../../../actors/gateway/reply.ts";
import { ERRORS, type ErrorName, Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const typeOf = (text: string): string => contentTypeOf(bytes(text), isUtf8);

test("every error has its own status, whose fault it is, and what to do", (t) => {
  for (const name of Object.keys(ERRORS) as ErrorName[]) {
    const { status, headers, body } = faultReply(new Fault(name, "what happened"));
    const row = ERRORS[name];
    t.is(status, row.code);
    t.is(headers["Pilot-Error"], name);
    t.deepEqual(JSON.parse(String(body)), { name, message: "what happened", fault: row.fault, retry: row.retry, next: row.cure });
    t.is(headers["Retry-After"], undefined);
  }
});

test("when to try again is said in whole seconds for HTTP and in milliseconds for us", (t) => {
  const { headers, body } = faultReply(new Fault("Throttled", "full", { retryAfterMs: 100.2 }));
  t.is(headers["Retry-After"], "1");
  t.is(headers["Pilot-Retry-After"], "101");
  t.is((JSON.parse(String(body)) as { retryAfterMs: number }).retryAfterMs, 101);
});

test("the stack of the function and better advice are passed on, other details are not", (t) => {
  const { body } = faultReply(new Fault("HandlerError", "x", { stack: "Error: x", next: "Look.", secret: 1, headers: { a: "b" } }));
  const said = JSON.parse(String(body)) as Record<string, unknown>;
  t.like(said, { stack: "Error: x", next: "Look." });
  t.deepEqual(Object.keys(said).sort(), ["fault", "message", "name", "next", "retry", "stack"]);
});

test("what the reply says of the call goes along as headers, and no value can begin another header", (t) => {
  const { headers } = resultReply(
    bytes("1"),
    {
      "Pilot-Rung": "hot",
      "Pilot-Reason": "a\r\nSet-Cookie: x=é",
      "Pilot-Body": "secret",
      other: "x",
    },
    isUtf8,
  );
  t.is(headers["Pilot-Rung"], "hot");
  t.regex(headers["Pilot-Reason"] ?? "", /^[ -~]*$/);
  t.is(headers["Pilot-Body"], undefined);
  t.is(headers["other"], undefined);
});

test("a result is JSON, text or bytes, by what it is", (t) => {
  for (const text of ['{"a":1}', "[]", '"x"', "1", "-1.5", "true", "null", ' {"a":1}\n'])
    t.is(typeOf(text), "application/json; charset=utf-8", text);
  for (const text of ["words", "{not json", "trueish", "<script>", "12abc"]) t.is(typeOf(text), "text/plain; charset=utf-8", text);
  t.is(typeOf(""), "application/octet-stream");
  t.is(contentTypeOf(Uint8Array.of(0xff, 0xfe), isUtf8), "application/octet-stream");
  t.is(contentTypeOf(Uint8Array.of(0x22, 0xff, 0x22), isUtf8), "application/octet-stream");
  t.is(typeOf("a\u0000b"), "application/octet-stream");
  const most = LIMITS.httpJson.value;
  t.is(typeOf(`{"a":"${"x".repeat(most)}"}`), "application/json; charset=utf-8");
  t.is(typeOf(`${"x".repeat(most + 1)}`), "text/plain; charset=utf-8");
});

test("a result of which only the ends are there is judged by them, wherever a character is cut", (t) => {
  const head = bytes('{"a":"öö');
  const last = bytes('"}');
  t.is(largeTypeOf(head, last, isUtf8), "application/json; charset=utf-8");
  t.is(largeTypeOf(head.subarray(0, -1), last, isUtf8), "application/json; charset=utf-8");
  t.is(largeTypeOf(head, bytes("x"), isUtf8), "text/plain; charset=utf-8");
  t.is(largeTypeOf(Uint8Array.of(0x7b, 0xff, 0, 0, 0, 0x7d), last, isUtf8), "application/octet-stream");
  t.is(largeTypeOf(Uint8Array.of(0x61, 0, 0x61), last, isUtf8), "application/octet-stream");
  fc.assert(
    fc.property(fc.string({ unit: "grapheme", minLength: 5 }), fc.nat(3), (text, cut) => {
      const part = bytes(text);
      return largeTypeOf(part.subarray(0, part.length - cut), last, isUtf8) !== "application/octet-stream" || text.includes("\u0000");
    }),
  );
});

test("every JSON text is told as JSON", (t) => {
  fc.assert(fc.property(fc.json(), (text) => t.is(typeOf(text), "application/json; charset=utf-8")));
});
