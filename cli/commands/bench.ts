/** `pilot bench`: small, real measurements from this machine, through the same caller as `invoke`. */
import { createHistogram, type RecordableHistogram } from "node:perf_hooks";
import type { Connected } from "../../nodes/io/nats.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { DEFAULT_ACCOUNT } from "../../protocol/names.ts";
import { SUBJECT } from "../../protocol/subjects.ts";
import { command, noun } from "../command.ts";
import { type Cli, note } from "../context.ts";
import { functionArgument, JSON_FLAG, on, text, valueOr } from "../flags.ts";
import { counts } from "../fleet.ts";
import { answer, fields, milliseconds, table } from "../output.ts";
import { connected } from "../platform.ts";
import { duration, integer, name, type Target, target } from "../values.ts";

/** One call in this many asks for a trace: often enough to tell shares, seldom enough not to slow the rest. */
const SAMPLE = 20;
const PATIENCE_MS = LIMITS.waitForPlace.value + LIMITS.timeoutDefault.value;

interface Sums {
  readonly ns: RecordableHistogram;
  readonly failures: Map<string, number>;
  readonly rungs: Map<string, number>;
  readonly paths: Map<string, number>;
}

const empty = (): Sums => ({ ns: createHistogram(), failures: new Map(), rungs: new Map(), paths: new Map() });
const count = (into: Map<string, number>, key: string): unknown => into.set(key, (into.get(key) ?? 0) + 1);

/** One call; failures are counted by name. Returns the rung when it was traced. */
async function measured(platform: Connected, subject: string, body: Uint8Array, trace: boolean, sums: Sums): Promise<string | undefined> {
  const started = process.hrtime.bigint();
  try {
    const headers = trace ? { headers: { "Pilot-Trace": "1" } } : {};
    const reply = await platform.caller.call(subject, body, { ...headers, timeoutMs: PATIENCE_MS });
    sums.ns.record(process.hrtime.bigint() - started);
    if (!trace) return undefined;
    const rung = reply.headers["Pilot-Rung"] ?? "unknown";
    count(sums.rungs, rung);
    count(sums.paths, reply.headers["Pilot-Path"] ?? "unknown");
    return rung;
  } catch (thrown) {
    const fault = Fault.from(thrown);
    if (fault.name === "FunctionNotFound" || fault.name === "BadRequest") throw fault;
    // What Ctrl-C cuts off has not failed.
    if (!platform.nc.isClosed() && !platform.nc.isDraining()) count(sums.failures, fault.name);
    return undefined;
  }
}

const share = (record: Map<string, number>): string => {
  const total = [...record.values()].reduce((sum, one) => sum + one, 0);
  return [...record].map(([key, one]) => `${key} ${((one / total) * 100).toFixed(1)} %`).join(", ");
};
const ms = (sums: Sums, percentile: number): number => (sums.ns.count === 0 ? 0 : sums.ns.percentile(percentile) / 1e6);
const failed = (sums: Sums): Record<string, number> => Object.fromEntries(sums.failures);

const warm = command({
  brief: "Measure calls of a function: throughput, latency, rungs and paths",
  details: `Every ${SAMPLE}th call is traced; the shares of rungs and paths come from those.`,
  examples: [
    "pilot bench call hello",
    "pilot bench call hello --in-flight 64 --seconds 10",
    `pilot bench call hello --data '{"n":1}' --json`,
  ],
  flags: {
    account: valueOr(name, "NAME", DEFAULT_ACCOUNT, "account of the function"),
    inFlight: valueOr(integer(1, 10_000), "N", "1", "calls that are under way at a time"),
    seconds: valueOr(integer(1, 3_600), "S", "5", "how long to measure"),
    data: valueOr(text, "TEXT", "{}", "body of each call"),
    ...JSON_FLAG,
  },
  args: [functionArgument(target, "NAME[.QUALIFIER]", "function to call")],
  action: (cli, flags, callee) =>
    connected(cli, flags, async (platform) => {
      const subject = SUBJECT.fn(flags.account, callee.name, callee.qualifier);
      const body = new TextEncoder().encode(flags.data);
      // The first call's boot is not what is measured here; it also tells a wrong name at once.
      const first = empty();
      await measured(platform, subject, body, true, first);
      const sums = empty();
      const started = performance.now();
      const end = started + flags.seconds * 1_000;
      let sent = 0;
      const lane = async (): Promise<void> => {
        while (performance.now() < end && !cli.signal.aborted) await measured(platform, subject, body, sent++ % SAMPLE === 0, sums);
      };
      await Promise.all(Array.from({ length: flags.inFlight }, lane));
      const seconds = (performance.now() - started) / 1_000;
      const data = {
        calls: sums.ns.count,
        seconds,
        perSecond: sums.ns.count / seconds,
        inFlight: flags.inFlight,
        ms: {
          mean: sums.ns.count === 0 ? 0 : sums.ns.mean / 1e6,
          p50: ms(sums, 50),
          p90: ms(sums, 90),
          p99: ms(sums, 99),
          max: sums.ns.count === 0 ? 0 : sums.ns.max / 1e6,
        },
        rungs: Object.fromEntries(sums.rungs),
        paths: Object.fromEntries(sums.paths),
        failures: failed(sums),
      };
      await answer(cli, flags.json, data, () =>
        fields(cli, [
          ["calls", `${data.calls} in ${seconds.toFixed(1)} s, ${flags.inFlight} in flight`],
          ["throughput", `${data.perSecond.toFixed(0)} per second`],
          ["p50", milliseconds(data.ms.p50)],
          ["p90", milliseconds(data.ms.p90)],
          ["p99", milliseconds(data.ms.p99)],
          ["max", milliseconds(data.ms.max)],
          ["rungs", share(sums.rungs)],
          ["paths", share(sums.paths)],
          ["failures", counts(data.failures)],
        ]),
      );
      failAll(cli, sums);
    }),
});

const BENCH_ACCOUNT = "pilot-bench";

const cold = command({
  brief: "Measure first calls: fresh copies of a function, each called once",
  details: `Each copy is a new function in the account ${BENCH_ACCOUNT} (with --fresh-accounts, in one of its own), so that no container\nhas its code. What each call met (cached, own, warm, cold) is what its trace says. Copies are removed again.`,
  examples: ["pilot bench cold hello --count 20", "pilot bench cold hello --count 10 --fresh-accounts", "pilot bench cold hello --json"],
  flags: {
    account: valueOr(name, "NAME", DEFAULT_ACCOUNT, "account of the function"),
    count: valueOr(integer(1, 1_000), "N", "10", "how many first calls"),
    pause: valueOr(duration, "TIME", "0ms", "rest between two calls, for the warm pool to refill"),
    data: valueOr(text, "TEXT", "{}", "body of each call"),
    freshAccounts: on("an account per copy: warm or cold, never own"),
    ...JSON_FLAG,
  },
  args: [functionArgument(target, "NAME[.VERSION]", "function to copy")],
  action: (cli, flags, callee) =>
    connected(cli, flags, async (platform) => {
      const { showFunction, deployFunction, removeAccount, removeFunction } = await import("../contracts.ts");
      const shown = await platform.bus.ask(showFunction, [], { account: flags.account, name: callee.name });
      const original = pickVersion(shown.versions, callee);
      const { runtime, handler, digest, bytes, hasMap, environment, network } = original;
      const body = new TextEncoder().encode(flags.data);
      const run = Date.now().toString(36);
      const byRung = new Map<string, Sums>();
      const all = empty();
      for (let index = 0; index < flags.count && !cli.signal.aborted; index += 1) {
        const copy = { account: flags.freshAccounts ? `${BENCH_ACCOUNT}-${index}` : BENCH_ACCOUNT, name: `cold-${run}-${index}` };
        const { memoryMb, timeoutMs } = shown.function.settings;
        await platform.bus.ask(deployFunction, [], {
          ...copy,
          runtime,
          handler,
          digest,
          bytes,
          hasMap,
          environment,
          network,
          settings: { memoryMb, timeoutMs },
        });
        try {
          const one = empty();
          const rung = await measured(platform, SUBJECT.fn(copy.account, copy.name), body, true, one);
          for (const [key, times] of one.failures) all.failures.set(key, (all.failures.get(key) ?? 0) + times);
          if (rung === undefined) continue;
          const sums = byRung.get(rung) ?? empty();
          sums.ns.add(one.ns);
          all.ns.add(one.ns);
          byRung.set(rung, sums);
        } finally {
          await platform.bus.ask(removeFunction, [], copy);
          // Refused while another benchmark uses it, which then removes it.
          await platform.bus.ask(removeAccount, [], { account: copy.account }).catch(() => undefined);
        }
        if (flags.pause > 0) await new Promise((resolve) => setTimeout(resolve, flags.pause));
      }
      const data = [...byRung].map(([rung, sums]) => ({
        rung,
        calls: sums.ns.count,
        ms: { p50: ms(sums, 50), p99: ms(sums, 99), max: sums.ns.max / 1e6 },
      }));
      const rows = data.map((row) => [row.rung, row.calls, milliseconds(row.ms.p50), milliseconds(row.ms.p99), milliseconds(row.ms.max)]);
      await answer(cli, flags.json, { rungs: data, failures: failed(all) }, () =>
        table(cli, ["RUNG", "CALLS", "P50", "P99", "MAX"], rows, "no call succeeded"),
      );
      if (!flags.json && all.failures.size > 0) note(cli, `failures: ${counts(failed(all))}`);
      failAll(cli, all);
    }),
});

interface Versioned {
  readonly version: number;
}

function pickVersion<V extends Versioned>(versions: readonly V[], callee: Target): V {
  const wanted = callee.qualifier;
  const found = wanted === undefined ? versions[0] : versions.find((row) => String(row.version) === wanted);
  if (found === undefined) throw new Fault("FunctionNotFound", `${callee.name} has no version ${wanted ?? ""}`);
  return found;
}

/** A benchmark in which nothing succeeded has failed. */
function failAll(cli: Cli, sums: Sums): void {
  if (sums.ns.count === 0) cli.exitCode = 1;
}

export const bench = noun("Measurements", ["pilot bench call hello --in-flight 64", "pilot bench cold hello --count 20"], {
  call: warm,
  cold,
});
