/** What flags and arguments accept. */
import test from "ava";
import fc from "fast-check";
import { nameOf } from "../../cli/commands/deploy.ts";
import { Usage } from "../../cli/failure.ts";
import { duration, header, memory, name, pair, record, share, target, timeout, variable, warmth } from "../../cli/values.ts";

const refuses = (parse: (text: string) => unknown, ...texts: string[]) =>
  texts.every((text) => {
    try {
      parse(text);
      return false;
    } catch (thrown) {
      return thrown instanceof Usage;
    }
  });

test("durations have a unit and become milliseconds", (t) => {
  t.deepEqual(["200ms", "30s", "2m", "1.5h", "0s", "1d"].map(duration), [200, 30_000, 120_000, 5_400_000, 0, 86_400_000]);
  t.true(refuses(duration, "", "5", "-1s", "1e3s", "5 s", "s", "5y", "Infinity", "5S", `${"9".repeat(400)}d`));
});

test("a time limit is from one millisecond to the longest that can be asked for", (t) => {
  t.is(timeout("15m"), 900_000);
  t.true(refuses(timeout, "0ms", "16m", "0.1ms"));
});

test("F008 memory is whole megabytes within the platform's bounds", (t) => {
  t.deepEqual(["128", "256MB", "1GB", "2gb"].map(memory), [128, 256, 1_024, 2_048]);
  t.true(refuses(memory, "0", "-1", "1TB", "1048576", "1.5", "", "12.", "NaN", "31"));
});

test("names are judged as the platform judges them", (t) => {
  t.is(name("a-b_9"), "a-b_9");
  t.true(refuses(name, "", "A", "a.b", "*", ">", "a b", "ä", "-a", "x".repeat(64), "a\n"));
});

test("a callee is a function with an alias or version after a dot or a colon", (t) => {
  t.deepEqual(target("hello"), { name: "hello", qualifier: undefined });
  t.deepEqual(target("hello.beta"), { name: "hello", qualifier: "beta" });
  t.deepEqual(target("hello:3"), { name: "hello", qualifier: "3" });
  t.true(refuses(target, "", ".", "a.", "a.b.c", "a.*", "a.>", "A", "a:b:c"));
});

test("whatever a callee is, it never names anything but one function", (t) => {
  t.notThrows(() =>
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        try {
          const found = target(text);
          return (
            /^[a-z0-9][a-z0-9_-]{0,62}$/.test(found.name) &&
            (found.qualifier === undefined || /^[a-z0-9][a-z0-9_-]{0,62}$/.test(found.qualifier))
          );
        } catch (thrown) {
          return thrown instanceof Usage;
        }
      }),
    ),
  );
});

test("a pair keeps everything after its first equals sign", (t) => {
  t.deepEqual(pair("A=b=c"), ["A", "b=c"]);
  t.deepEqual(pair("A="), ["A", ""]);
  t.true(refuses(pair, "A", "=b", ""));
  t.true(refuses(variable, "1A=x", "A-B=x", "A B=x"));
  t.true(refuses(header, "A B=x", "A\r\nB=x", "A=x\r\nB: y"));
});

test("a key that is given twice is an error, and no key reaches the prototype", (t) => {
  t.deepEqual(
    record(
      [
        ["A", "1"],
        ["B", "2"],
      ],
      "variable",
    ),
    { A: "1", B: "2" },
  );
  t.throws(
    () =>
      record(
        [
          ["A", "1"],
          ["A", "2"],
        ],
        "variable",
      ),
    { instanceOf: Usage, message: /A is given twice/ },
  );
  t.is(({} as Record<string, unknown>)["polluted"], undefined);
  t.deepEqual(Object.keys(record([["__proto__", "x"]], "variable")), ["__proto__"]);
});

test("shares of an alias have a weight from 1 to 100", (t) => {
  t.deepEqual(share("3"), { version: 3, weight: 100 });
  t.deepEqual(share("3=10"), { version: 3, weight: 10 });
  t.true(refuses(share, "0", "3=0", "3=101", "a", "3=", ""));
});

test("warm numbers name runtimes", (t) => {
  t.deepEqual(warmth("node=2,python=1"), [
    ["node", 2],
    ["python", 1],
  ]);
  t.true(refuses(warmth, "node", "perl=1", "node=-1", "node=1,", "node=1001"));
});

test("a function is named after its file unless that is no name", (t) => {
  t.is(nameOf("/x/hello.ts"), "hello");
  t.is(nameOf("shop/"), "shop");
  t.true(refuses(nameOf, "Hello World.ts", "/", ".", "ä.js"));
});
