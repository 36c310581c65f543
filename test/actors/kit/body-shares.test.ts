import test from "ava";
import { BodyShares } from "../../../actors/kit/body-shares.ts";
import { LIMITS } from "../../../protocol/limits.ts";

const PART = LIMITS.bodyPart.value;
const most = Math.floor(LIMITS.accountBodies.value / PART);

function open() {
  const clock = { now: 1_000_000, epoch: () => clock.now };
  const shares = new BodyShares(clock);
  const put = (key: string, bytes = PART) => shares.stored({ key, bytes, at: clock.now });
  const limitOf = (key: string, bytes = PART) => shares.refusal(key, bytes)?.details?.["limit"];
  return { clock, shares, put, limitOf };
}

test("an account has its share of bytes and no more; another has its own, and what is used makes room", (t) => {
  const { shares, put, limitOf } = open();
  for (let nth = 0; nth < most; nth++) put(`main.${nth}.0`);
  t.is(limitOf("main.new.0"), "accountBodies");
  t.regex(shares.refusal("main.new.0", PART)?.message ?? "", /^account main has \d+ bytes of \d+ in the store of large bodies/);
  t.is(limitOf("main.0.0"), undefined);
  t.is(limitOf("other.new.0"), undefined);
  put("main.0.0");
  put("main.0.0", 0);
  t.is(limitOf("main.new.0"), undefined);
  t.deepEqual(shares.of("main"), { bytes: (most - 1) * PART, parts: most - 1, messages: most });
});

test("parts go when their life is over, and so do the marks of used ones", (t) => {
  const { clock, shares, put, limitOf } = open();
  for (let nth = 0; nth < most; nth++) put(`main.${nth}.0`);
  clock.now += LIMITS.bodyLife.value / 2;
  put("main.0.0", 0);
  put("main.late.0", 5);
  clock.now += LIMITS.bodyLife.value / 2;
  t.is(limitOf("main.new.0"), undefined);
  t.deepEqual(shares.of("main"), { bytes: 5, parts: 1, messages: 2 });
  clock.now += LIMITS.bodyLife.value / 2 + 60_000;
  t.deepEqual(shares.of("main"), { bytes: 0, parts: 0, messages: 0 });
});

test("tiny parts that nobody uses are bounded in number, as every node remembers each of them", (t) => {
  const { clock, put, limitOf } = open();
  for (let nth = 0; nth < LIMITS.accountBodyPartsHeld.value; nth++) put(`main.${nth}.0`, 1);
  t.is(limitOf("main.new.0", 1), "accountBodyPartsHeld");
  t.is(limitOf("main.0.0", 1), undefined);
  t.is(limitOf("other.new.0", 1), undefined);
  put("main.0.0", 0);
  t.is(limitOf("main.new.0", 1), undefined);
  put("main.new.0", 1);
  clock.now += LIMITS.bodyLife.value + 60_000;
  t.is(limitOf("main.late.0", 1), undefined);
});

test("the marks of used parts are bounded in number", (t) => {
  const { clock, shares, put, limitOf } = open();
  for (let nth = 0; nth < LIMITS.accountBodyParts.value; nth++) {
    put(`main.${nth}.0`, 1);
    put(`main.${nth}.0`, 0);
  }
  t.is(limitOf("main.new.0", 1), "accountBodyParts");
  t.is(limitOf("other.new.0", 1), undefined);
  t.is(shares.of("main").messages, LIMITS.accountBodyParts.value);
  clock.now += LIMITS.bodyLife.value + 60_000;
  t.is(limitOf("main.new.0", 1), undefined);
});

test("a node that hears of accounts whose parts it never stores remembers no more than lives", (t) => {
  const { clock, shares, put } = open();
  for (let minute = 0; minute < 1_000; minute++) {
    put(`main.${minute}.0`, 1);
    put(`used.${minute}.0`, 1);
    put(`used.${minute}.0`, 0);
    put(`once-${minute}.x.0`, 1);
    clock.now += 60_000;
  }
  // Of the last hour: two parts a minute, one mark, and the accounts that they are of.
  const minutes = LIMITS.bodyLife.value / 60_000;
  t.true(shares.size <= 4 * (minutes + 2) + 2, `${shares.size}`);
  clock.now += LIMITS.bodyLife.value + 60_000;
  put("last.x.0", 1);
  t.is(shares.size, 2);
});
