import test from "ava";
import fc from "fast-check";
import { type BodyRef, formatBody, parseBody, parseBodySubject, partRange, partsOf } from "../../protocol/bodies.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { isName } from "../../protocol/names.ts";
import { canRedeem, claimInbox, isAnswerable, SUBJECT } from "../../protocol/subjects.ts";

const hex = (length: number) => fc.stringMatching(new RegExp(`^[0-9a-f]{${length}}$`));
const ref: fc.Arbitrary<BodyRef> = fc
  .record({ id: hex(32), sha256: hex(64), bytes: fc.integer({ min: 1, max: LIMITS.largeBody.value }) })
  .map((one) => ({ ...one, parts: partsOf(one.bytes) }));

test("a claim check is read back to what it was made of", (t) => {
  fc.assert(fc.property(ref, (one) => t.deepEqual(parseBody(formatBody(one)), one) as unknown as undefined));
  t.pass();
});

test("whatever a Pilot-Body header says, it is refused, or names a body within the limit whose numbers agree", (t) => {
  const piece = fc.oneof(fc.string(), hex(32), hex(64), fc.nat().map(String), fc.constantFrom("0", "1", "-1", "1e3", "67108865", "٣"));
  const text = fc.oneof(
    fc.string(),
    fc.array(piece, { minLength: 3, maxLength: 5 }).map((pieces) => pieces.join(";")),
  );
  fc.assert(
    fc.property(text, (value) => {
      const read = parseBody(value);
      if (read === undefined) return true;
      return formatBody(read) === value && read.bytes >= 1 && read.bytes <= LIMITS.largeBody.value && read.parts === partsOf(read.bytes);
    }),
    { numRuns: 1_000 },
  );
  t.pass();
});

test("a claim check whose numbers contradict each other, or that is changed by one character, is not read as the same body", (t) => {
  fc.assert(
    fc.property(ref, fc.integer({ min: 1, max: 3 }), fc.nat(), fc.string({ minLength: 1, maxLength: 1 }), (one, more, at, character) => {
      if (parseBody(formatBody({ ...one, parts: one.parts + more })) !== undefined) return false;
      const text = formatBody(one);
      const place = at % text.length;
      const changed = text.slice(0, place) + character + text.slice(place + 1);
      const read = parseBody(changed);
      return changed === text || read === undefined || formatBody(read) === changed;
    }),
  );
  t.pass();
});

test("the parts of a body are all of it, in order, each within the size of a part", (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: LIMITS.largeBody.value }), (bytes) => {
      let at = 0;
      for (let part = 0; part < partsOf(bytes); part++) {
        const { from, to } = partRange(bytes, part);
        if (from !== at || to <= from || to - from > LIMITS.bodyPart.value) return false;
        at = to;
      }
      return at === bytes;
    }),
  );
  t.pass();
});

test("a part subject is read back to its names, and whatever else it holds is refused in words", (t) => {
  const name = fc.stringMatching(/^[a-z0-9][a-z0-9_-]{0,20}$/);
  const most = partsOf(LIMITS.largeBody.value);
  fc.assert(
    fc.property(name, fc.constantFrom("put" as const, "get" as const), hex(32), fc.nat(most - 1), (account, verb, id, part) => {
      t.deepEqual(parseBodySubject(SUBJECT.bodyPart(account, verb, id, part)), { account, verb, id, part });
    }),
  );
  t.is(typeof parseBodySubject(SUBJECT.bodyPart("main", "put", "0".repeat(32), most)), "string");
  t.is(typeof parseBodySubject(SUBJECT.bodyPart("main", "drop", "0".repeat(32), most)), "object");
  t.is(typeof parseBodySubject(SUBJECT.bodyPart("main", "drop", "0".repeat(32), most + 1)), "string");
  t.is(typeof parseBodySubject(SUBJECT.bodyPart("main", "drop", "0".repeat(32), 0)), "string");
  const token = fc.oneof(
    fc.string(),
    name,
    hex(32),
    fc.constantFrom("put", "get", "drop", "*", ">", "", "__proto__"),
    fc.nat().map(String),
  );
  fc.assert(
    fc.property(fc.array(token, { maxLength: 7 }), (tokens) => {
      const read = parseBodySubject(`pilot.body.${tokens.join(".")}`);
      if (typeof read === "string") return read.length > 0;
      return isName(read.account) && /^[0-9a-f]{32}$/.test(read.id) && read.part >= 0 && read.part <= most;
    }),
    { numRuns: 1_000 },
  );
  t.pass();
});

test("an inbox says by its last token but one that its owner can redeem a claim check", (t) => {
  const inbox = fc.stringMatching(/^_INBOX\.[A-Za-z0-9]{1,20}(\.[A-Za-z0-9]{1,8}){0,2}$/);
  const number = fc.stringMatching(/^[a-z0-9]{1,6}$/);
  fc.assert(
    fc.property(inbox, number, (prefix, last) => {
      const reply = `${claimInbox(prefix)}.${last}`;
      const tokens = `${prefix}.${last}`.split(".");
      return (
        canRedeem(reply) && isAnswerable(reply, LIMITS.replySubject.value) && canRedeem(`${prefix}.${last}`) === (tokens.at(-2) === "claim")
      );
    }),
  );
  for (const reply of [
    "",
    "claim",
    ".claim",
    "claim.1",
    ".claim.",
    "_INBOX.claim",
    "_INBOX.x.claim.",
    "_INBOX.x.aclaim.1",
    "_INBOX.x.claim.1.2",
  ])
    t.false(canRedeem(reply), reply);
});
