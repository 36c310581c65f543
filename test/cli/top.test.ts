/** What `pilot top` makes of two samples. */
import test from "ava";
import fc from "fast-check";
import { Histogram } from "../../actors/kit/histogram.ts";
import { growthBetween } from "../../cli/top/growth.ts";
import { quantileMs, sumCounts } from "../../cli/top/quantile.ts";
import type { Sample } from "../../cli/top/sample.ts";
import { frame } from "../../cli/top/screen.ts";
import { topLines } from "../../cli/top/text.ts";
import { topView } from "../../cli/top/view.ts";
import type { NodeMetrics, Series } from "../../protocol/messages/metrics.ts";
import { TIME_BUCKETS } from "../../protocol/metrics.ts";

const calls = (count: number, outcome = "ok"): Series => ({ labels: ["main", "f", "hot", outcome], value: count });
const started = (at: number): Series[] => [{ labels: [], value: at / 1_000 }];
const node = (over: Partial<NodeMetrics> & { readonly metrics: NodeMetrics["metrics"] }): NodeMetrics => ({
  node: "h1",
  role: "host",
  epoch: "e1",
  at: 100_000,
  ...over,
});
const sample = (at: number, nodes: NodeMetrics[]): Sample => ({
  at,
  fleet: { hosts: [], silent: [], nodes: [], waiting: {}, classes: {} },
  metrics: { nodes, silent: [] },
});
const grew = (before: NodeMetrics[], after: NodeMetrics[]): number =>
  growthBetween(before, after, 1_000)
    .of("pilot_calls_total")
    .reduce((total, { value }) => total + value, 0);

test("a counter's growth is its difference, and a series that is new has grown by all it has", (t) => {
  const before = [node({ metrics: { pilot_calls_total: [calls(10)] } })];
  const after = [node({ metrics: { pilot_calls_total: [calls(15), calls(2, "TimedOut")] } })];
  t.is(grew(before, after), 7);
});

test("a host that was started anew has grown by what it counted since, and never by less than nothing", (t) => {
  const before = [node({ metrics: { pilot_calls_total: [calls(1_000)] } })];
  const fresh = { pilot_calls_total: [calls(3)], pilot_node_start_time_seconds: started(99_500) };
  t.is(grew(before, [node({ epoch: "e2", metrics: fresh })]), 3);
});

test("a node that was merely not heard before shows no burst of all it ever counted", (t) => {
  const old = { pilot_calls_total: [calls(1_000_000)], pilot_node_start_time_seconds: started(1_000) };
  t.is(grew([], [node({ metrics: old })]), 0);
});

test("rates, failures, rungs and the direct share of a function are summed over hosts", (t) => {
  const runs = new Histogram();
  for (let nth = 0; nth < 100; nth++) runs.add(4);
  const empty = (id: string) =>
    node({ node: id, metrics: { pilot_calls_total: [calls(0)], pilot_calls_direct_total: [{ labels: ["main", "f"], value: 0 }] } });
  const busy = (id: string) =>
    node({
      node: id,
      metrics: {
        pilot_calls_total: [calls(90), calls(10, "TimedOut"), { labels: ["main", "f", "cold", "ok"], value: 100 }],
        pilot_calls_direct_total: [{ labels: ["main", "f"], value: 50 }],
        pilot_call_run_seconds: [runs.toSeries(["main", "f"])],
        pilot_waiting_calls: [{ labels: ["main", "f"], value: 2 }],
      },
    });
  const view = topView(sample(0, [empty("h1"), empty("h2")]), sample(2_000, [busy("h1"), busy("h2")]));
  const [row] = view.functions;
  t.like(row, { account: "main", function: "f", callsPerS: 200, failuresPerS: 10, waiting: 4, directShare: 0.25 });
  t.deepEqual(row?.rungs, { hot: 0.5, cold: 0.5 });
  t.true((row?.p50Ms ?? 0) > 2.5 && (row?.p50Ms ?? 0) <= 5);
  t.like(view.totals, { callsPerS: 200, failuresPerS: 10, waiting: 4, directShare: 0.25 });
  t.true(topLines(view).some((text) => /^main\/f +200 +10 /.test(text)));
});

test("two samples at the same moment have no rates", (t) => {
  const one = sample(5, [node({ metrics: { pilot_calls_total: [calls(3)] } })]);
  t.is(topView(one, one).totals.callsPerS, 0);
});

test("a quantile lies in the bucket of the value that it stands for", (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0.01, max: 2_000_000, noNaN: true }), { minLength: 1, maxLength: 200 }),
      fc.double({ min: 0.01, max: 1, noNaN: true }),
      (values, share) => {
        const histogram = new Histogram();
        for (const value of values) histogram.add(value);
        const sorted = [...values].sort((a, b) => a - b);
        const exact = sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
        const bounds = [0, ...TIME_BUCKETS.map((seconds) => seconds * 1_000)];
        const at = bounds.findLastIndex((bound) => exact > bound);
        const told = quantileMs(histogram.toSeries([]).counts ?? [], share) ?? -1;
        t.true(told >= (bounds[at] ?? 0) - 1e-6 && told <= (bounds[at + 1] ?? bounds[at] ?? 0) + 1e-6, `${told} for ${exact}`);
      },
    ),
  );
  t.is(quantileMs(sumCounts([]), 0.5), undefined);
});

test("a frame fits the terminal, whatever its size, and says what it leaves out", (t) => {
  const lines = Array.from({ length: 50 }, (_, nth) => `line ${nth} ${"x".repeat(200)}`);
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 80 }), (columns, rows) => {
      const shown = frame(lines, columns, rows)
        .replace(/\u001b\[[A-Z]/g, "")
        .split("\r\n");
      t.true(shown.length <= rows);
      t.true(shown.every((text) => text.length <= columns));
      if (rows < 50 && columns > 30) t.regex(shown.at(-1) ?? "", /more lines$/);
    }),
  );
});
