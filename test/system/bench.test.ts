/** The benchmarks work: one short real run. What it measures is nobody's business here. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import test from "ava";

const BENCH = fileURLToPath(new URL("../../bench/index.js", import.meta.url));
const run = promisify(execFile);

test("bench warm --quick --json prints one line with every figure, and no call was lost or doubled", async (t) => {
  const { stdout } = await run(process.execPath, [BENCH, "warm", "--quick", "--json", "--rounds", "1"], {
    timeout: 80_000,
    killSignal: "SIGTERM",
  });
  const lines = stdout.trim().split("\n");
  t.is(lines.length, 1);
  const report = JSON.parse(lines[0] ?? "") as {
    bench: string;
    broker: string;
    lost: number;
    doubled: number;
    machine: { cores: number };
    figures: { name: string; median: number; rounds: number }[];
  };
  t.is(report.bench, "warm");
  t.regex(report.broker, /^\d+\.\d+\.\d+/);
  t.is(report.lost, 0);
  t.is(report.doubled, 0);
  t.true(report.machine.cores > 0);
  for (const wanted of [
    "floor p50, 1 in flight, 1 KiB",
    "direct p50 / floor, 64 in flight, 1 KiB",
    "frontend throughput, 64 in flight, 1 KiB",
  ]) {
    t.true(
      report.figures.some(({ name, median, rounds }) => name === wanted && median > 0 && rounds === 1),
      wanted,
    );
  }
});

test("bench --list names the questions, and an unknown one is a usage error", async (t) => {
  const { stdout } = await run(process.execPath, [BENCH, "--list"]);
  t.true(stdout.split("\n").includes("warm"));
  const error = await t.throwsAsync(run(process.execPath, [BENCH, "nonsense"]));
  t.is((error as Error & { code?: number }).code, 2);
});
