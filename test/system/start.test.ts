/** The first command of the README, with the real roles and sandboxes. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import test, { type ExecutionContext } from "ava";
import { until } from "../../nodes/io/until.ts";
import { temporaryDirectory } from "../support/temp.ts";

const ENTRY = fileURLToPath(new URL("../support/start-alone.js", import.meta.url));

interface Started {
  readonly child: ChildProcess;
  readonly lines: string[];
  readonly exited: Promise<number | null>;
}

function begin(t: ExecutionContext, directory: string, words: readonly string[], environment: NodeJS.ProcessEnv = {}): Started {
  const child = spawn(process.execPath, [ENTRY, ...words], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, PILOT_STATE_HOME: join(directory, "state"), TMPDIR: directory, ...environment },
  });
  t.teardown(() => child.kill("SIGKILL"));
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) createInterface(stream).on("line", (line) => lines.push(line));
  const exited = once(child, "exit").then(([code]) => code as number | null);
  return { child, lines, exited };
}

/** Processes that have this directory in their command line or environment: ours, whoever their parent is by now. */
async function processesOf(directory: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    const texts = await Promise.all(["cmdline", "environ"].map((name) => readFile(`/proc/${pid}/${name}`, "utf8").catch(() => "")));
    if (texts.some((text) => text.includes(directory))) found.push(`${pid} ${texts[0]?.replaceAll("\0", " ")}`);
  }
  return found;
}

const nothingLeft = async (directory: string): Promise<string[]> => {
  await until(async () => ((await processesOf(directory)).length === 0 ? true : undefined), 15_000);
  return processesOf(directory);
};

test.serial("npm start --once calls every example on every rung and on the direct path, and leaves nothing", async (t) => {
  t.timeout(180_000);
  const directory = await temporaryDirectory(t);
  const { lines, exited } = begin(t, directory, ["--once"]);
  t.is(await exited, 0, lines.join("\n"));
  const rows = lines.filter((line) => / ok$/.test(line)).map((line) => line.split(/\s{2,}/));
  for (const name of ["hello", "total", "words"]) {
    const rungs = rows.filter(([first]) => first === name).map(([, , rung, path]) => (path === "direct" ? "direct" : rung));
    for (const wanted of ["hot", "cached", "own", "warm", "cold", "direct"])
      t.true(rungs.includes(wanted), `${name}: ${wanted}\n${lines.join("\n")}`);
  }
  if (process.platform !== "linux") return;
  t.deepEqual(await nothingLeft(directory), []);
  t.deepEqual(
    (await readdir(directory)).filter((name) => name !== "state" && name !== "node-compile-cache"),
    [],
  );
});

test.serial("a second npm start beside the first has a store of its own, and leaves nothing of it", async (t) => {
  t.timeout(180_000);
  const directory = await temporaryDirectory(t);
  const home = { XDG_DATA_HOME: join(directory, "data") };
  const up = (lines: readonly string[]) =>
    until(() => (lines.some((line) => line.startsWith("Pilotlight is up")) ? true : undefined), 90_000);
  const first = begin(t, directory, [], home);
  t.true(await up(first.lines), first.lines.join("\n"));
  const second = begin(t, directory, [], home);
  t.true(await up(second.lines), second.lines.join("\n"));
  t.true(second.lines.some((line) => /in use by process \d+; this one has a store of its own/.test(line)));
  for (const { child, exited, lines } of [second, first]) {
    child.kill("SIGINT");
    t.is(await exited, 0, lines.join("\n"));
  }
  t.deepEqual(
    (await readdir(directory)).filter((name) => name.startsWith("pilotlight-")),
    [],
  );
});

for (const signal of ["SIGINT", "SIGKILL"] as const) {
  test.serial(`npm start ended by ${signal} in the middle of its work leaves no process`, async (t) => {
    t.timeout(120_000);
    if (process.platform !== "linux") return t.pass("the kernel of this platform cannot be asked");
    const directory = await temporaryDirectory(t);
    const { child, lines, exited } = begin(t, directory, ["--store", join(directory, "store")]);
    t.true(await until(() => (lines.some((line) => line.startsWith("provoking")) ? true : undefined), 90_000), lines.join("\n"));
    t.true((await processesOf(directory)).length > 4);
    child.kill(signal);
    t.is(await exited, signal === "SIGINT" ? 0 : null, lines.join("\n"));
    t.deepEqual(await nothingLeft(directory), []);
  });
}
