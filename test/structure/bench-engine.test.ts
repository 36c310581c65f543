/** The arithmetic of the benchmarks: a wrong median would be believed. */
import test from "ava";
import fc from "fast-check";
import { median, percentile, ratio, rotated, spread } from "../../bench/engine/figures.ts";
import { closedLoop, numbered, openLoop } from "../../bench/engine/load.ts";
import { readOptions } from "../../bench/engine/options.ts";
import { figure } from "../../bench/engine/question.ts";
import { withSections } from "../../bench/engine/record.ts";
import { fails, jsonLine, markdown, type Report, shown, tableText } from "../../bench/engine/report.ts";
import { interleave } from "../../bench/engine/rounds.ts";
import { sumUp } from "../../bench/engine/sum.ts";
import { TARGETS, verdictOf } from "../../bench/engine/targets.ts";
import { Fault } from "../../protocol/errors.ts";

const values = fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 50 });

test("the median is the middle value, and half of the values are on either side", (t) => {
  t.is(median([3, 1, 2]), 2);
  t.is(median([4, 1, 3, 2]), 2.5);
  t.true(Number.isNaN(median([])));
  fc.assert(
    fc.property(values, (list) => {
      const middle = median(list);
      return list.filter((one) => one <= middle).length * 2 >= list.length && list.filter((one) => one >= middle).length * 2 >= list.length;
    }),
  );
  t.pass();
});

test("a percentile is one of the values, and the share below it is the share asked for", (t) => {
  t.is(percentile([5, 1, 4, 2, 3], 0.99), 5);
  t.is(percentile([5, 1, 4, 2, 3], 0), 1);
  fc.assert(
    fc.property(values, fc.double({ min: 0, max: 1, noNaN: true }), (list, share) => {
      const found = percentile(list, share);
      return list.includes(found) && list.filter((one) => one <= found).length >= share * list.length - 1e-6;
    }),
  );
  t.pass();
});

test("a ratio is taken within each round, so that a slow minute does not count for one side only", (t) => {
  // The second round ran on a machine that was ten times slower: the ratio is the same.
  t.deepEqual(ratio([2, 20, 2], [1, 10, 1]), { median: 2, min: 2, max: 2, rounds: 3 });
  t.throws(() => ratio([1], [1, 2]), { instanceOf: RangeError });
});

test("rounds without a value are left out of a spread, and none at all is no figure", (t) => {
  t.deepEqual(spread([Number.NaN, 3, 1]), { median: 2, min: 1, max: 3, rounds: 2 });
  t.throws(() => spread([Number.NaN]), { instanceOf: RangeError });
});

test("rotation brings every subject to every place equally often", (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 4 }), (count, times) => {
      const subjects = Array.from({ length: count }, (_, index) => index);
      const firsts = new Map<number, number>();
      for (let round = 0; round < count * times; round += 1) {
        const order = rotated(subjects, round);
        if (new Set(order).size !== count) return false;
        firsts.set(order[0] ?? -1, (firsts.get(order[0] ?? -1) ?? 0) + 1);
      }
      return subjects.every((subject) => firsts.get(subject) === times);
    }),
  );
  t.deepEqual(rotated([], 3), []);
});

test("every subject is measured once in each round, in rotated order", async (t) => {
  const order: string[] = [];
  const subject = (name: string) => ({
    name,
    measure: async (ms: number) => {
      order.push(name);
      return `${name}${ms}`;
    },
  });
  const results = await interleave([subject("a"), subject("b"), subject("c")], { rounds: 3, ms: 7 });
  t.is(order.join(""), "abcbcacab");
  t.deepEqual(results.get("b"), ["b7", "b7", "b7"]);
});

test("every body has a number of its own, and is no JSON", (t) => {
  const [one, two] = [numbered(16), numbered(1_024)];
  t.is(one.length, 16);
  t.is(two.length, 1_024);
  t.notDeepEqual(one, two.subarray(0, 16));
  t.throws(() => JSON.parse(new TextDecoder().decode(one)) as unknown);
  t.is(numbered(1).length, 16, "the number must fit");
});

test("the closed loop counts what was lost and what came back to the wrong caller", async (t) => {
  let calls = 0;
  const sum = sumUp();
  const sample = await closedLoop(
    async (body) => {
      calls += 1;
      if (calls % 3 === 0) throw new Fault("Throttled", "on purpose");
      return calls % 3 === 1 ? body : numbered(body.length);
    },
    { inFlight: 2, size: 32, ms: 5 },
  );
  sum.add(sample);
  t.is(sample.calls + sample.lost, calls);
  t.is(sample.lost, Math.floor(calls / 3));
  t.is(sample.wrong, Math.floor((calls + 1) / 3));
  t.is(sum.lost, sample.lost);
  t.is(sum.wrong, sample.wrong);
  if (sample.lost > 0) t.deepEqual(sum.notes(), [`${sample.lost} calls failed with Throttled`]);
});

test("the open loop measures from the intended arrival: a caller that stands still makes the latency grow", async (t) => {
  let first = true;
  const sample = await openLoop(
    async (body) => {
      if (first) {
        first = false;
        // Blocks the event loop: no arrival can be served in time meanwhile.
        const end = performance.now() + 60;
        while (performance.now() < end);
      }
      return body;
    },
    { perSecond: 2_000, size: 16, ms: 100 },
  );
  t.true(sample.max >= 20, `${sample.max} ms: arrivals during the standstill waited for its end`);
  t.is(sample.lost, 0);
});

const report = (value: number): Report => ({
  bench: "warm",
  asks: "How long?",
  date: "2026-01-31",
  quick: false,
  machine: { cpu: "A cpu", cores: 2, memoryGiB: 4, kernel: "6", node: "20", commit: "abc", loadBefore: 0.1 },
  figures: [
    figure("p50", "x", { median: value, min: 1, max: 3, rounds: 8 }, "warm-p50-1"),
    figure("floor", "ms", { median: 0.2, min: 0.1, max: 0.3, rounds: 8 }),
  ],
  lost: 0,
  doubled: 0,
  notes: ["a note"],
});

test("a figure is judged by its target, on the right side of it", (t) => {
  const { gate, goal } = TARGETS["warm-p50-1"];
  t.is(verdictOf("warm-p50-1", goal), "goal");
  t.is(verdictOf("warm-p50-1", gate), "gate");
  t.is(verdictOf("warm-p50-1", gate + 0.01), "missed");
  t.is(verdictOf("warm-throughput", 1), "goal");
  t.is(verdictOf("warm-throughput", 0.1), "missed");
  for (const [name, target] of Object.entries(TARGETS))
    t.true(target.better === "less" ? target.goal <= target.gate : target.goal >= target.gate, name);
  t.true(fails(report(9)));
  t.false(fails(report(1)));
});

test("a report is one line of JSON, a table and a section of the record", (t) => {
  const line = jsonLine(report(1.5));
  t.false(line.includes("\n"));
  const read = JSON.parse(line) as { figures: { verdict?: string }[] };
  t.is(read.figures[0]?.verdict, "gate");
  t.is(read.figures[1]?.verdict, undefined);
  for (const text of [tableText(report(1.5)), markdown(report(1.5))])
    t.regex(text, /1\.50×[\s\S]*lost calls: 0; doubled replies: 0[\s\S]*a note/);
  t.is(shown(1234.5, "/s"), "1235 /s");
  t.is(shown(0.0123, "ms"), "0.012 ms");
});

test("the record keeps the answers to questions that were not asked this time", (t) => {
  const names = ["warm", "peers"];
  const first = withSections("", names, new Map([["peers", "## peers\n\nold"]]));
  const second = withSections(first, names, new Map([["warm", "## warm\n\nnew"]]));
  t.regex(second, /^# Benchmarks[\s\S]*## warm\n\nnew\n\n## peers\n\nold\n$/);
  t.is(withSections(second, names, new Map([["warm", "## warm\n\nnew"]])), second);
});

test("the command line says what makes no sense", (t) => {
  t.like(readOptions(["warm", "--json", "--rounds", "3"]), { names: ["warm"], json: true, rounds: 3, ms: undefined });
  t.throws(() => readOptions(["--rounds", "0"]), { message: /--rounds is a whole number/ });
  t.throws(() => readOptions(["--nonsense"]));
});
