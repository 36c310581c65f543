import test from "ava";
import fc from "fast-check";
import { Gathered } from "../../nodes/io/gathered.ts";

test("pieces of any size come together in their order", (t) => {
  const size = fc.oneof(fc.constantFrom(0, 1, 4_095, 4_096, 65_535, 65_536, 65_537), fc.nat(10_000));
  fc.assert(
    fc.property(fc.array(size, { maxLength: 40 }), (sizes) => {
      const gathered = new Gathered();
      const pieces = sizes.map((length, at) => new Uint8Array(length).fill(at + 1));
      for (const piece of pieces) gathered.add(piece);
      const whole = Buffer.concat(pieces);
      t.is(gathered.size, whole.length);
      t.true(whole.equals(gathered.whole()));
    }),
  );
});

test("one piece is given back as it is", (t) => {
  const gathered = new Gathered();
  const piece = new Uint8Array(10);
  gathered.add(piece);
  t.is(gathered.whole(), piece);
  t.is(new Gathered().whole().length, 0);
});
