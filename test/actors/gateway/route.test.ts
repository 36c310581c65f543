import test from "ava";
import fc from "fast-check";
import { readHttpAddress, refuseBrowsers } from "../../../actors/gateway/address.ts";
import { readGatewayHeaders } from "../../../actors/gateway/headers.ts";
import { readCallRoute } from "../../../actors/gateway/route.ts";
import { Fault } from "../../../protocol/errors.ts";
import { isName } from "../../../protocol/names.ts";
import { parseCallSubject, SUBJECT } from "../../../protocol/subjects.ts";

test("a path names a function by account, name and qualifier, or code in the body", (t) => {
  const callee = (name: string, qualifier?: string) => ({ name, qualifier });
  t.deepEqual(readCallRoute("/fn/main/hello"), { account: "main", callee: callee("hello") });
  for (const path of ["/fn/main/hello:beta", "/fn/main/hello.beta", "/fn/main/hello%3Abeta", "/fn/main/hello%3abeta?"])
    t.deepEqual(readCallRoute(path), { account: "main", callee: callee("hello", "beta") });
  t.deepEqual(readCallRoute("/inline/main"), { account: "main", callee: undefined });
});

test("a path that names nothing is refused with what is wrong", (t) => {
  for (const path of [
    "",
    "/",
    "fn/main/hello",
    "/fn",
    "/fn/main",
    "/fn/main/a/b",
    "/inline",
    "/inline/main/x",
    "//fn/main/a",
    "/FN/main/a",
    "*",
  ])
    t.throws(() => readCallRoute(path), { name: "NotFound" }, path);
  for (const path of [
    "/fn//a",
    "/fn/main/",
    "/fn/main/a.b.c",
    "/fn/main/a:",
    "/fn/MAIN/a",
    "/fn/main/..",
    "/fn/main/%2e%2e",
    "/fn/main/%",
    "/fn/main/%zz",
    "/fn/main/a%2Fb",
    "/inline/",
    "/fn/main/a%00",
    "/fn/*/>",
  ])
    t.throws(() => readCallRoute(path), { name: "BadName" }, path);
  t.throws(() => readCallRoute("/fn/main/a?b=c"), { name: "BadRequest" });
  t.throws(() => readCallRoute(`/fn/main/${"a".repeat(1_000)}`), { name: "BadRequest" });
});

test("whatever the path is, it is refused with a typed error or becomes the subject of exactly what it names", (t) => {
  const piece = fc.oneof(
    fc.stringMatching(/^[a-z0-9_-]{1,8}$/),
    fc.string({ maxLength: 8 }),
    fc.constantFrom("..", "%2f", "*", ">", "main", "fn"),
  );
  const path = fc.oneof(
    fc.string({ maxLength: 40 }),
    fc
      .tuple(fc.constantFrom("fn", "inline", "x"), fc.array(piece, { maxLength: 4 }), fc.constantFrom(".", ":", "/"))
      .map(([tree, parts, by]) => `/${tree}/${parts.slice(0, 2).join("/")}${by}${parts.slice(2).join(by)}`),
  );
  fc.assert(
    fc.property(path, (url) => {
      try {
        const { account, callee } = readCallRoute(url);
        if (callee === undefined) return isName(account);
        const parsed = parseCallSubject(SUBJECT.fn(account, callee.name, callee.qualifier));
        return parsed.ok && parsed.account === account && parsed.name === callee.name && parsed.qualifier === callee.qualifier;
      } catch (thrown) {
        return thrown instanceof Fault && thrown.fault === "caller";
      }
    }),
    { numRuns: 1_000 },
  );
  t.pass();
});

test("without headers of ours a call has none at all", (t) => {
  t.is(readGatewayHeaders({}).headers, undefined);
  t.is(readGatewayHeaders({ host: "localhost", "content-type": "x", authorization: "Bearer secret" }).headers, undefined);
});

test("headers of ours are passed on in their own spelling and judged; nothing else is", (t) => {
  const { headers, options } = readGatewayHeaders({
    "pilot-trace": "1",
    "pilot-deadline": "250",
    traceparent: "00-1-2-01",
    cookie: "secret",
  });
  t.deepEqual(headers, { "Pilot-Trace": "1", "Pilot-Deadline": "250", traceparent: "00-1-2-01" });
  t.deepEqual(options, { trace: true, deadlineMs: 250, traceparent: "00-1-2-01" });
  for (const given of [
    { "pilot-nonsense": "1" },
    { "pilot-body": "x" },
    { "pilot-deadline": "soon" },
    { "pilot-memory": "1, 2" },
    { "pilot-chain": "a" },
  ])
    t.throws(() => readGatewayHeaders(given), { name: "BadHeader" });
});

test("whatever headers come, they are refused as a frontend would or only known ones are passed on", (t) => {
  const names = fc.constantFrom("pilot-trace", "pilot-timeout", "pilot-memory", "pilot-x", "traceparent", "cookie", "__proto__", "x");
  fc.assert(
    fc.property(fc.dictionary(names, fc.oneof(fc.string(), fc.constantFrom("1", "128"))), (given) => {
      try {
        const { headers = {} } = readGatewayHeaders(given);
        return Object.keys(headers).every((name) => ["Pilot-Trace", "Pilot-Timeout", "Pilot-Memory", "traceparent"].includes(name));
      } catch (thrown) {
        return thrown instanceof Fault && thrown.name === "BadHeader";
      }
    }),
  );
  t.pass();
});

test("an address is a host and a port, and it is known which are of this machine alone", (t) => {
  t.deepEqual(readHttpAddress("127.0.0.1:8080"), { host: "127.0.0.1", port: 8080, isLoopback: true });
  t.deepEqual(readHttpAddress("[::1]:0"), { host: "::1", port: 0, isLoopback: true });
  t.true(readHttpAddress("localhost:1").isLoopback);
  for (const text of ["0.0.0.0:80", "[::]:80", "10.0.0.1:80", "example.org:80", "127.0.0.1.example.org:80"])
    t.false(readHttpAddress(text).isLoopback, text);
  for (const text of ["", "8080", ":8080", "localhost", "a:b", "a:99999", "[::1]", "http://a:1", "a b:1", "[x]:1"])
    t.throws(() => readHttpAddress(text), { name: "BadRequest" }, text);
});

test("without a token only what asks this machine by its own name, and is no page, is served", (t) => {
  for (const host of ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST:1"])
    t.notThrows(() => refuseBrowsers({ host }), host);
  for (const host of [undefined, "", "evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "[::2]:1"])
    t.throws(() => refuseBrowsers({ host }), { name: "NotAllowed" }, host);
  t.throws(() => refuseBrowsers({ host: "localhost", origin: "null" }), { name: "NotAllowed" });
});
