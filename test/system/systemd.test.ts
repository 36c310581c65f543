/** The unit for systemd without systemd: its line, as a process with the unit's environment, serves, and stops in the unit's time. */
import { copyFile, mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import anyTest, { type ExecutionContext, type TestFn } from "ava";
import { allGone, countRuns, PATIENCE_MS, treeBelow, WORK } from "../support/faults.ts";
import { type Platform, startPlatform } from "../support/platform.ts";
import { projectRoot } from "../support/project-root.ts";
import { readUnit, startUnit, unitMs } from "../support/systemd-unit.ts";
import { temporaryDirectory } from "../support/temp.ts";
import { until } from "../support/until.ts";

const test = anyTest.serial as unknown as TestFn<never>;
const unit = readUnit(join(projectRoot(), "deploy", "systemd", "pilotlight-node.service"));
let platform: Platform;

test.before(async () => {
  platform = await startPlatform({ hosts: 0 });
  await platform.deploy("work", WORK);
});
test.after.always(() => platform?.stop());

/** The unit's process with that node.env; its directories are in a temporary one. */
async function start(t: ExecutionContext<never>, nodeEnv: string) {
  const directory = await temporaryDirectory(t);
  const contexts = join(directory, "contexts");
  await mkdir(contexts);
  for (const role of ["host", "frontend"])
    await copyFile(join(platform.running.store, "contexts", `role-${role}.json`), join(contexts, `${role}.json`));
  const data = join(directory, "data");
  const moved = (path: string): string =>
    path
      .replace(/^\/opt\/pilotlight/, projectRoot())
      .replace("/etc/pilotlight/contexts", contexts)
      .replace("/var/lib/pilotlight", data);
  const child = startUnit(unit, nodeEnv, moved);
  t.teardown(() => child.kill("SIGKILL"));
  const heard = { out: "", err: "" };
  child.stdout?.setEncoding("utf8").on("data", (text: string) => (heard.out += text));
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (heard.err += text));
  const ended = new Promise<number | string>((resolve) => child.once("close", (code, signal) => resolve(code ?? signal ?? "")));
  return { child, heard, ended, data };
}

test("the line of the systemd unit serves with what node.env says, and SIGTERM to it alone lets its calls end, within the unit's time", async (t) => {
  t.timeout(3 * PATIENCE_MS);
  t.deepEqual([unit.one("KillMode"), unit.one("KillSignal"), unit.one("Type")], ["mixed", "SIGTERM", "exec"]);
  const env = "PILOT_ROLES=host,frontend\nPILOT_NODE_OPTIONS=--hosts 2 --warm node=1 --name unit --metrics 127.0.0.1:0\n";
  const { child, heard, ended, data } = await start(t, env);
  const url = await until(() => /^metrics\s+(http:\S+)$/m.exec(heard.out)?.[1], "the line about its metrics", PATIENCE_MS).catch(
    (error: unknown) => {
      t.log(heard.out, heard.err);
      throw error;
    },
  );
  const text = await (await fetch(url)).text();
  for (const node of ["frontend-unit", "host-unit", "host-unit-2"]) t.regex(text, new RegExp(`^pilot_node_info\\{.*node="${node}"`, "m"));
  t.regex(await readFile(join(data, "logs", "host-unit.log"), "utf8"), /"msg":"ready"/);

  const runs = await countRuns(platform);
  const calling = platform.call("work", { n: 1, ms: 3_000 }, { "Pilot-Deadline": String(PATIENCE_MS) }, PATIENCE_MS);
  await until(() => runs.has(1), "the call to run", PATIENCE_MS);
  const processes = treeBelow(child.pid ?? 0);
  t.true(processes.length > 4);
  const began = performance.now();
  child.kill("SIGTERM");
  t.is(await ended, 0, heard.err);
  const tookMs = Math.round(performance.now() - began);
  t.log(`seen: stopped after ${tookMs} ms`);
  t.true(tookMs < unitMs(unit.one("TimeoutStopSec")), `${tookMs} ms`);
  t.deepEqual((await calling).value, { n: 1 });
  await allGone(processes, "all that the unit had started");
});

test("what a restart would not mend ends the unit with the code that it is not started again for", async (t) => {
  t.timeout(2 * PATIENCE_MS);
  t.is(unit.one("Restart"), "on-failure");
  for (const [env, said] of [
    ["PILOT_ROLES=cook\n", /cook/],
    ["PILOT_NODE_OPTIONS=--no-such-flag\n", /no-such-flag/],
    ["PILOT_ROLES=scheduler\n", /no credential for a scheduler/],
  ] as const) {
    const { heard, ended } = await start(t, env);
    t.is(String(await ended), unit.one("RestartPreventExitStatus"), `${env}${heard.err}`);
    t.regex(heard.err, said);
  }
});
