/** The whole platform, briefly, on each release of the broker that is supported and that this machine has. */
import test from "ava";
import { findInLog } from "../../nodes/io/call-log.ts";
import { brokersHere } from "../support/brokers.ts";
import { allGone, countRuns, killAndAwait, PATIENCE_MS, pidOf, servesAgain, treeBelow, WORK } from "../support/faults.ts";
import { startPlatform } from "../support/platform.ts";
import { readLogs } from "../support/read-logs.ts";
import { until } from "../support/until.ts";

const PYTHON = `
def handler(event, context):
    print("said by python")
    context.kv.put("kept", {"n": event["n"]})
    return {"n": context.kv.get("kept")["n"], "called": context.call("placed", {"n": 0})}
`;
const PARTS = ["broker", "scheduler-1", "frontend-1", "host-1"];
const here = await brokersHere();

for (const line of ["2.9", "2.10", "2.14"]) {
  const broker = here.get(line);
  const title = `nats-server ${line}: deploys and calls on every path, a version after a version, kept values, logs and records, a restart and a death of the broker, and an orderly end`;
  if (broker === undefined) {
    test.serial.skip(`${title} (skipped: no nats-server ${line} on this machine; PILOT_TEST_BROKERS may name one)`, () => undefined);
    continue;
  }
  test.serial(title, async (t) => {
    t.timeout(150_000);
    t.log(`nats-server ${broker.version} from ${broker.origin}${broker.reduced ? ", in reduced form" : ""}`);
    const platform = await startPlatform({ broker: broker.path, warm: { node: 1, python: 1 } }, t);
    const runs = await countRuns(platform);
    await platform.deploy("direct", WORK, { settings: { class: "busy" } });
    await platform.deploy("placed", WORK, { settings: { class: "rare" } });
    await platform.deploy("snake", PYTHON, { runtime: "python" });

    t.is((await platform.call("nobody")).error, "FunctionNotFound");
    const cold = await servesAgain(platform, "placed", 1);
    t.not(cold.headers["Pilot-Rung"], "hot");
    t.is((await servesAgain(platform, "placed", 2)).headers["Pilot-Rung"], "hot");
    const request = { runtime: "node", code: "export const handler = ({ n }) => n + 1", event: { n: 1 } };
    const inline = await platform.raw("pilot.inline.main", new TextEncoder().encode(JSON.stringify(request)));
    t.is(inline.value, 2, inline.message);
    t.deepEqual((await platform.call("snake", { n: 3 })).value, { n: 3, called: { n: 0 } });
    await servesAgain(platform, "direct", 4);
    const path = async (): Promise<string> => (await platform.call("direct", { n: 0 })).headers["Pilot-Path"] ?? "";
    if (broker.reduced) for (let nth = 0; nth < 8; nth++) t.not(await path(), "direct");
    else await until(async () => (await path()) === "direct", "a direct answer", PATIENCE_MS);

    const { value: said } = await until(
      async () => {
        const lines = await readLogs(platform.operator, "main", "snake");
        return lines.length > 0 ? { value: lines.map(({ text }) => text) } : undefined;
      },
      "what the function printed",
      PATIENCE_MS,
    );
    t.true(said.includes("said by python"), said.join());
    const id = cold.headers["Pilot-Call"] ?? "";
    await until(() => findInLog(platform.operator.nc, id, Date.now() - PATIENCE_MS), "the record of the first call", PATIENCE_MS);

    const second = WORK.replace("return { n }", "return { n, version: 2 }");
    for (const name of ["direct", "placed"] as const) {
      t.is(await platform.deploy(name, second, { settings: { class: name === "direct" ? "busy" : "rare" } }), 2);
      for (let nth = 0; nth < 4; nth++) t.deepEqual((await platform.call(name, { n: 0 })).value, { n: 0, version: 2 }, name);
    }

    let n = 10;
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      const calls = ["placed", "direct"].map((name) => ({
        n: ++n,
        ended: platform.call(name, { n, ms: 3_000 }, { "Pilot-Deadline": "60000" }, 45_000),
      }));
      await until(() => calls.every((one) => runs.has(one.n)), "the calls to run", PATIENCE_MS);
      t.log(`seen: the broker ready again ${await killAndAwait(platform, "broker", signal)} ms after ${signal}`);
      for (const one of calls) t.deepEqual((await one.ended).value, { n: one.n, version: 2 }, (await one.ended).message);
      await platform.deploy("after", WORK.replace("return { n }", `return { n, after: "${signal}" }`));
      t.deepEqual((await servesAgain(platform, "after", ++n)).value, { n, after: signal });
      t.deepEqual((await servesAgain(platform, "snake", ++n)).value, { n, called: { n: 0, version: 2 } });
    }
    t.deepEqual(
      [...runs].filter(([number, count]) => number !== 0 && count > 1),
      [],
    );

    const living = PARTS.flatMap((name) => treeBelow(pidOf(platform, name)));
    const last = platform.call("placed", { n: ++n, ms: 500 });
    await until(() => runs.has(n), "the last call to run", PATIENCE_MS);
    const stopped = platform.running.stop();
    t.deepEqual((await last).value, { n, version: 2 }, "what runs when the end begins is answered");
    await stopped;
    await allGone(living, "all processes of the platform");
  });
}
