import test from "ava";
import fc from "fast-check";
import { callIds, timeOfCall } from "../../protocol/call-id.ts";
import { decode, encode, joinHead, splitHead } from "../../protocol/codec.ts";
import { ERRORS, Fault, isErrorName } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { CONTRACTS } from "../../protocol/messages/index.ts";
import { deployFunction } from "../../protocol/messages/registry.ts";

test("every contract has a name and subject of its own, and says what it is for", (t) => {
  const names = new Set<string>();
  for (const { contract } of CONTRACTS) {
    t.regex(contract.name, /^[a-z][a-z-]*$/);
    t.false(names.has(contract.name), contract.name);
    names.add(contract.name);
    t.true(contract.meaning.length > 10 && contract.meaning.endsWith("."), contract.name);
  }
});

test("F009 a request with an unknown field, a wrong type or a hostile name is refused with the place of the fault", (t) => {
  const good = { account: "main", name: "echo", runtime: "node", handler: "handler", digest: "0".repeat(64), bytes: 1, hasMap: false };
  t.notThrows(() => deployFunction.request.parse(good));
  for (const [change, said] of [
    [{ surprise: 1 }, /no field surprise/],
    [{ name: "../x" }, /name/],
    [{ name: "a".repeat(64) }, /name/],
    [{ account: "*" }, /account/],
    [{ runtime: "cobol" }, /runtime/],
    [{ digest: "x" }, /digest/],
    [{ bytes: -1 }, /bytes/],
    [{ settings: { memoryMb: 0 } }, /memoryMb/],
    [{ settings: { memoryMb: 1e12 } }, /memoryMb/],
    [{ environment: { "LD PRELOAD": "x" } }, /environment/],
    [{ environment: { A: 1 } }, /environment/],
  ] as const) {
    const error = t.throws(() => deployFunction.request.parse({ ...good, ...change }), { instanceOf: Fault });
    t.is(error?.name, "BadRequest");
    t.regex(error?.message ?? "", said);
  }
  for (const value of [undefined, null, 1, "x", [], new Uint8Array(3)])
    t.throws(() => deployFunction.request.parse(value), { instanceOf: Fault });
});

test("values survive the codec, and what is undefined is left out", (t) => {
  // The codec renames the key __proto__, which is as it should be.
  const value = fc.jsonValue().filter((json) => !JSON.stringify(json).includes("__proto__"));
  fc.assert(fc.property(value, (json) => JSON.stringify(decode(encode(json))) === JSON.stringify(json)));
  t.deepEqual(decode(encode({ a: 1, b: undefined })), { a: 1 });
});

test("a head and a body are taken apart as they were put together, and other bytes throw without harm", (t) => {
  fc.assert(
    fc.property(
      fc.dictionary(
        fc.string().filter((key) => key !== "__proto__"),
        fc.string(),
      ),
      fc.uint8Array({ maxLength: 500 }),
      (head, body) => {
        const split = splitHead(joinHead(head, body));
        return JSON.stringify(split.head) === JSON.stringify({ ...head }) && Buffer.from(split.body).equals(Buffer.from(body));
      },
    ),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      try {
        splitHead(bytes);
      } catch (thrown) {
        return thrown instanceof Error;
      }
      return true;
    }),
  );
  t.pass();
});

test("the wire form of a head does not change by accident", (t) => {
  const whole = joinHead({ call: "c", waitMs: 1.5, trace: true, none: undefined }, new TextEncoder().encode("body"));
  t.is(Buffer.from(whole).toString("hex"), "001f83a463616c6ca163a6776169744d73cb3ff8000000000000a57472616365c3626f6479");
});

test("call ids sort by time, never repeat, and tell their time", (t) => {
  const newId = callIds("run1run1");
  const ids = Array.from({ length: 100 }, (_, nth) => newId(1_800_000_000_000 + nth));
  t.is(new Set(ids).size, 100);
  t.is(timeOfCall(ids[7] ?? ""), 1_800_000_000_007);
  t.true((ids[0] ?? "") < (ids[99] ?? ""));
  for (const text of ["", "x", "../../etc", "A".repeat(20), "a".repeat(65)]) t.is(timeOfCall(text), undefined);
});

test("every error says whose fault it is and what to do, and crosses the wire as itself", (t) => {
  for (const [name, row] of Object.entries(ERRORS)) {
    t.true(isErrorName(name));
    t.true(row.code >= 400 && row.code < 600, name);
    t.true(row.meaning.endsWith(".") && row.cure.length > 5, name);
    if (!isErrorName(name)) continue;
    const back = Fault.fromData(new Fault(name, "text", { detail: 1 }).toData());
    t.deepEqual([back.name, back.message, back.details?.["detail"]], [name, "text", 1]);
  }
  t.is(Fault.fromData({ name: "Forged" as never, message: "x" }).name, "Internal");
  t.is(Fault.from("thrown text").name, "Internal");
});

test("every limit has a unit and says what happens at it", (t) => {
  for (const [name, limit] of Object.entries(LIMITS)) {
    t.true(Number.isFinite(limit.value) && limit.value >= 0, name);
    t.true(limit.meaning.length > 10, name);
  }
});
