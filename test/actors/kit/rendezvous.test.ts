import test from "ava";
import fc from "fast-check";
import { rendezvous } from "../../../actors/kit/rendezvous.ts";

const ids = fc.uniqueArray(fc.stringMatching(/^[a-z0-9-]{1,12}$/), { minLength: 1, maxLength: 8 });

test("the same member is chosen whatever the order in which members are known", (t) => {
  fc.assert(fc.property(fc.string(), ids, (key, members) => rendezvous(key, members) === rendezvous(key, [...members].reverse())));
  t.pass();
});

test("when a member leaves, only its own keys move", (t) => {
  fc.assert(
    fc.property(fc.string(), ids, fc.nat(), (key, members, at) => {
      const gone = members[at % members.length];
      const before = rendezvous(key, members);
      return (
        before === gone ||
        rendezvous(
          key,
          members.filter((member) => member !== gone),
        ) === before
      );
    }),
  );
  t.pass();
});

test("keys are spread evenly", (t) => {
  const counts = new Map<string, number>();
  for (let nth = 0; nth < 3_000; nth++) {
    const member = rendezvous(`main.function-${nth}`, ["scheduler-1", "scheduler-2", "scheduler-3"]) ?? "";
    counts.set(member, (counts.get(member) ?? 0) + 1);
  }
  for (const count of counts.values()) t.true(count > 800 && count < 1_200, `${count}`);
});

test("nobody is chosen where there is nobody", (t) => {
  t.is(rendezvous("key", []), undefined);
});
