import test from "ava";
import fc from "fast-check";
import { accountOf, bytesOf, calleeOf, inlineBody, settingsOf } from "../../client/request.ts";
import { Fault } from "../../protocol/errors.ts";
import { isAlias, isName, isVersion } from "../../protocol/names.ts";
import { parseCallSubject, SUBJECT } from "../../protocol/subjects.ts";

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

test("a payload that is bytes is sent as it is, nothing as nothing, anything else as JSON", (t) => {
  t.is(bytesOf(undefined).length, 0);
  const bytes = Uint8Array.of(1, 2, 3, 4);
  t.is(bytesOf(bytes), bytes);
  t.deepEqual(bytesOf(bytes.buffer), bytes);
  t.deepEqual(bytesOf(new DataView(bytes.buffer, 1, 2)), Uint8Array.of(2, 3));
  t.deepEqual(bytesOf(new Uint16Array(bytes.buffer, 2, 1)), Uint8Array.of(3, 4));
  t.is(text(bytesOf("a")), '"a"');
  t.is(text(bytesOf(null)), "null");
  const loop: unknown[] = [];
  loop.push(loop);
  for (const value of [loop, 1n, () => 1, Symbol("x")]) t.throws(() => bytesOf(value), { instanceOf: Fault, name: "BadRequest" });
});

test("any JSON value comes back from its bytes", (t) => {
  fc.assert(fc.property(fc.jsonValue(), (value) => t.deepEqual(JSON.parse(text(bytesOf(value))), JSON.parse(JSON.stringify(value)))));
});

test("a function is named by text or by its parts", (t) => {
  t.deepEqual(calleeOf("hello", "main"), { account: "main", callee: { name: "hello", qualifier: undefined } });
  for (const same of ["hello.beta", "hello:beta", { name: "hello", qualifier: "beta" }])
    t.deepEqual(calleeOf(same, "main"), { account: "main", callee: { name: "hello", qualifier: "beta" } });
  t.is(calleeOf({ name: "hello", account: "shop" }, "main").account, "shop");
  t.is(accountOf("shop"), "shop");
});

test("whatever is given as a name, either it is refused or its subject names exactly that", (t) => {
  const part = fc.oneof(fc.string({ maxLength: 70 }), fc.stringMatching(/^[a-z0-9_.:*>-]{0,12}$/));
  fc.assert(
    fc.property(part, fc.option(part, { nil: undefined }), part, (name, qualifier, account) => {
      try {
        const wanted = calleeOf({ name, qualifier, account }, "main");
        const parsed = parseCallSubject(SUBJECT.fn(wanted.account, wanted.callee.name, wanted.callee.qualifier));
        return parsed.ok && parsed.name === name && parsed.qualifier === qualifier && parsed.account === account;
      } catch (thrown) {
        const isRight = isName(name) && isName(account) && (qualifier === undefined || isAlias(qualifier) || isVersion(qualifier));
        return thrown instanceof Fault && thrown.name === "BadName" && !isRight;
      }
    }),
  );
  t.pass();
});

test("headers and numbers that no frontend would take are refused before anything is sent", (t) => {
  for (const headers of [{ "Pilot-Nonsense": "1" }, { "pilot-body": "x" }, { "a b": "1" }, { x: "a\r\nEvil: 1" }])
    t.throws(() => settingsOf({ headers }), { name: "BadHeader" });
  for (const options of [{ timeoutMs: 0 }, { timeoutMs: 1.5 }, { deadlineMs: -1 }, { memoryMb: 1 }, { patienceMs: Number.NaN }])
    t.throws(() => settingsOf(options), { name: "BadRequest" });
  t.deepEqual(settingsOf({ headers: { traceparent: "00-1-2-01", "pilot-trace": "1" } }).headers, {
    traceparent: "00-1-2-01",
    "pilot-trace": "1",
  });
});

test("F002 code in the call takes JSON and no bytes", (t) => {
  t.deepEqual(JSON.parse(text(inlineBody("code", { x: 1 }, { handler: "work" }))), {
    runtime: "node",
    code: "code",
    handler: "work",
    event: { x: 1 },
  });
  t.throws(() => inlineBody("code", new Uint8Array(1), {}), { name: "BadRequest" });
});
