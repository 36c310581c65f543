import test from "ava";
import fc from "fast-check";
import { Boots } from "../../../nodes/io/sandbox/boots.ts";

test("F100 boots never run more at once than allowed, whatever ends well or badly", async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }),
      fc.array(fc.record({ urgent: fc.boolean(), fails: fc.boolean(), turns: fc.nat(5) }), { maxLength: 30 }),
      async (atOnce, orders) => {
        const boots = new Boots(atOnce);
        let running = 0;
        let done = 0;
        await Promise.allSettled(
          orders.map(({ urgent, fails, turns }) =>
            boots.run(
              urgent,
              async () => {
                running += 1;
                t.true(running <= atOnce);
                for (let turn = 0; turn < turns; turn += 1) await Promise.resolve();
                running -= 1;
                done += 1;
                if (fails) throw new Error("boot");
              },
              () => undefined,
            ),
          ),
        );
        t.is(done, orders.length);
      },
    ),
  );
});

test("F100 urgent boots go first, and each kind in order", async (t) => {
  const boots = new Boots(1);
  const order: string[] = [];
  let open = (): void => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  const leisure = () => undefined;
  const first = boots.run(false, () => gate, leisure);
  const rest = (["a", "b", "C", "d", "E"] as const).map((name) => boots.run(name < "a", async () => void order.push(name), leisure));
  open();
  await Promise.all([first, ...rest]);
  t.deepEqual(order, ["C", "E", "a", "b", "d"]);
});

test("F100 boots at leisure are hurried, once each, when an urgent one has to wait for them; urgent ones never are", async (t) => {
  const boots = new Boots(2);
  const hurried: string[] = [];
  const open: (() => void)[] = [];
  const run = (name: string, urgent: boolean) =>
    boots.run(
      urgent,
      () => new Promise<void>((resolve) => void open.push(resolve)),
      () => void hurried.push(name),
    );
  const all = [run("a", false), run("B", true), run("c", false)];
  t.deepEqual(hurried, []);
  all.push(run("D", true), run("E", true));
  t.deepEqual(hurried, ["a"]);
  for (let at = 0; at < all.length; at++) {
    open[at]?.();
    await all[[0, 1, 3, 4, 2][at] ?? 0];
  }
  t.deepEqual(hurried, ["a"]);
});
