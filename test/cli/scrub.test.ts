/** No secret leaves in a debug bundle. */
import test from "ava";
import fc from "fast-check";
import { scrubber } from "../../cli/debug/scrub.ts";

test("a secret that is known is struck out wherever it stands, in every form in which it may", (t) => {
  fc.assert(
    fc.property(fc.string({ minLength: 8, maxLength: 40 }), fc.string(), fc.string(), (secret, before, after) => {
      fc.pre(!/^\*+$/.test(secret) && !"***".includes(secret));
      const scrub = scrubber([secret]);
      for (const form of [
        secret,
        JSON.stringify(secret).slice(1, -1),
        encodeURIComponent(secret),
        Buffer.from(secret).toString("base64"),
      ]) {
        const clean = scrub(`${before} ${form} ${after}`);
        // What stands around it may repeat a part of it, never the whole.
        t.false(clean.includes(form), clean);
      }
    }),
  );
});

test("what looks like a secret is struck out too", (t) => {
  const scrub = scrubber([]);
  const seed = `SUA${"A2B3C4D5".repeat(7).slice(0, 55)}`;
  for (const [text, secret] of [
    [`seed ${seed} end`, seed],
    ["jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl end", "c2lnbmF0dXJl"],
    ["nats://admin:geheim77@10.0.0.1:4222", "geheim77"],
    ['{"password":"geheim77","user":"a"}', "geheim77"],
    ["token=geheim77 next", "geheim77"],
    ["Authorization: Bearer geheim77", "geheim77"],
    ["-----BEGIN PRIVATE KEY-----\ngeheim77\n-----END PRIVATE KEY-----", "geheim77"],
    ['{"api_key": "geheim\\"77"}', "77"],
  ] as const)
    t.false(scrub(text).includes(secret), scrub(text));
});

test("what is no secret stays readable", (t) => {
  const scrub = scrubber(["abc", ""]);
  for (const text of [
    '{"level":30,"msg":"ready","node":"host-1","abc":"abc"}',
    "the pool passes calls on to host-1, 12 ms",
    "nats://127.0.0.1:4222",
    "e8fd43bfee1e533793330e06f90624bc99ddb11e740b1624ad1e230b6b996440",
  ])
    t.is(scrub(text), text);
});
