/** The text that Prometheus reads: strictly checked here, and by promtool where it is installed. */
import { spawnSync } from "node:child_process";
import test from "ava";
import fc from "fast-check";
import { Histogram } from "../../actors/kit/histogram.ts";
import { bounded } from "../../actors/scheduler/gather-metrics.ts";
import { metricsText } from "../../nodes/io/metrics-text.ts";
import { LIMITS } from "../../protocol/limits.ts";
import type { NodeMetrics, Series } from "../../protocol/messages/metrics.ts";
import { LIMIT_HITS, limitHits, METRICS, type MetricRow, TIME_BUCKETS } from "../../protocol/metrics.ts";
import { checkMetricsText } from "../support/metrics-syntax.ts";

const runs = new Histogram();
for (const ms of [0.2, 0.5, 3, 700, 1_000_000, -5]) runs.add(ms);

/** One series of every metric of the table. */
const every = (label: string): Record<string, Series[]> =>
  Object.fromEntries(
    Object.entries(METRICS).map(([name, row]) => {
      const labels = row.labels.map(() => label);
      return [name, [row.type === "histogram" ? runs.toSeries(labels) : { labels, value: 3 }]];
    }),
  );
const node = (id: string, metrics: Record<string, Series[]>): NodeMetrics => ({ node: id, role: "host", epoch: "e", at: 1, metrics });

test("every metric of the table is printed once with help and type, for each node, and passes the strict check", async (t) => {
  const text = await metricsText({ nodes: [node("host-1", every("a")), node("host-2", every("b"))], silent: ["host-3"] });
  t.deepEqual(checkMetricsText(text), []);
  for (const name of Object.keys(METRICS)) t.is(text.split(`# TYPE ${name} `).length, 2, name);
  t.regex(text, /^pilot_nodes_unheard 1$/m);
  t.regex(text, /^pilot_calls_total\{account="a",function="a",rung="a",outcome="a",node="host-1",role="host"\} 3$/m);
});

test("a histogram's buckets are summed up, and the last one is all of it", async (t) => {
  const text = await metricsText({ nodes: [node("h", { pilot_call_run_seconds: [runs.toSeries(["main", "f"])] })], silent: [] });
  const bucket = (le: string): number => Number(new RegExp(`_bucket\\{le="${le}",[^}]*\\} (\\d+)`).exec(text)?.[1]);
  t.deepEqual([bucket("0.0005"), bucket("0.005"), bucket("1"), bucket("900"), bucket("\\+Inf")], [3, 4, 5, 5, 6]);
  t.regex(text, /pilot_call_run_seconds_count\{[^}]*\} 6/);
  t.is(runs.toSeries([]).counts?.length ?? 0, TIME_BUCKETS.length + 1);
});

test("promtool finds nothing wrong with it", async (t) => {
  const text = await metricsText({ nodes: [node("host-1", every('a "name" \\ with\nall'))], silent: [] });
  const checked = spawnSync("promtool", ["check", "metrics"], { input: text, encoding: "utf8" });
  if (checked.error !== undefined) {
    t.log("skipped: promtool is not installed (Debian package prometheus)");
    t.pass();
    return;
  }
  t.is(checked.status, 0, checked.stdout + checked.stderr);
});

test("labels may be any text, and what another release says that this one does not know is left out", async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: "binary", maxLength: 60 }), async (label) => {
      const more = { ...every(label), pilot_future_total: [{ labels: [], value: 1 }], pilot_grants: [{ labels: ["more"], value: 1 }] };
      const text = await metricsText({ nodes: [node("h", more)], silent: [] });
      t.deepEqual(checkMetricsText(text), []);
      t.false(text.includes("pilot_future_total"));
      t.false(text.includes("pilot_grants"));
    }),
    { numRuns: 50 },
  );
});

test("the strict check does see what is wrong", (t) => {
  const bad = [
    "pilot_x 1\n",
    "# HELP pilot_x a\n# TYPE pilot_x counter\npilot_x 1\n",
    "# HELP pilot_x_total a\n# TYPE pilot_x_total counter\npilot_x_total NaNo\n",
    "# HELP pilot_x a\n# TYPE pilot_x gauge\npilot_x 1\npilot_x 2\n",
    '# HELP pilot_x a\n# TYPE pilot_x gauge\npilot_x{a="b" 1\n',
    '# HELP pilot_x a\n# TYPE pilot_x histogram\npilot_x_bucket{le="1"} 2\npilot_x_bucket{le="+Inf"} 1\npilot_x_sum 1\npilot_x_count 1\n',
    "# HELP pilot_x a\n# TYPE pilot_x gauge\npilot_x 1",
  ];
  for (const text of bad) t.not(checkMetricsText(text).length, 0, text);
});

test("over the limit of series each node's functions are one, and no count is lost", (t) => {
  const rows = (count: number): Series[] => Array.from({ length: count }, (_, nth) => ({ labels: ["main", `f${nth}`], value: nth }));
  const many = node("h", { pilot_calls_direct_total: rows(100), pilot_grants: [{ labels: [], value: 7 }] });
  t.deepEqual(bounded([many], 101), [many]);
  const [one] = bounded([many], 100);
  t.deepEqual(one?.metrics, {
    pilot_calls_direct_total: [{ labels: ["other", "other"], value: 4_950 }],
    pilot_grants: [{ labels: [], value: 7 }],
  });
});

test("every counter that stands for a limit names a row of the table of limits, and its hits are told", (t) => {
  for (const limit of Object.values(LIMIT_HITS)) t.true(Object.hasOwn(LIMITS, limit), limit);
  t.deepEqual(limitHits({ roomFull: 2, "limit.bundle": 1, "limit.nothing": 5, absent: 3, "requests.full": 0 }), {
    waitingCalls: 2,
    bundle: 1,
  });
});

test("names follow the conventions: counters end in _total, others do not, and times are in seconds", (t) => {
  for (const [name, row] of Object.entries<MetricRow>(METRICS)) {
    t.is(name.endsWith("_total"), row.type === "counter", name);
    t.notRegex(name, /_(ms|milliseconds|mb|kb)\b/, name);
    t.regex(name, /^pilot_[a-z0-9_]+$/);
    t.regex(row.meaning, /\.$/, name);
  }
});
