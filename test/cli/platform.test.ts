/** The whole way with real parts: `up`, deploy, invoke, look, stop. One platform for all of it, for each start costs seconds. */
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import test from "ava";
import { type Run, type RunOptions, runCli } from "../support/run-cli.ts";
import { temporaryDirectory } from "../support/temp.ts";
import { until } from "../support/until.ts";

const SOURCE = `import type { IncomingMessage } from "node:http";
export const handler = async (event: { name: string; boom?: boolean }, context: { callId: string }) => {
  console.log("greeting", event.name);
  if (event.boom) throw new TypeError("no such greeting");
  return { hello: event.name, prefix: process.env.PREFIX ?? null };
};
`;

test("F001 F003 F015 up, deploy and invoke work with one command each, and Ctrl-C ends it all with 0", async (t) => {
  t.timeout(240_000);
  const directory = await temporaryDirectory(t);
  const env = { ...process.env, PILOT_STATE_HOME: join(directory, "state"), NATS_URL: undefined, NATS_CONTEXT: undefined };
  const pilot = (words: readonly string[], options: RunOptions = {}): Promise<Run> => runCli(words, { env, ...options });
  const stop = new AbortController();
  let first = "";
  const store = join(directory, "s");
  const platform = pilot(["up", "--port", "0", "--store", store, "--json", "--warm", "node=1,python=0"], {
    signal: stop.signal,
    onStdout: (text) => {
      first += text;
    },
  });
  t.teardown(async () => {
    stop.abort();
    await platform;
  });
  void platform.then((run) => {
    if (!stop.signal.aborted) t.fail(`up ended with ${run.code}: ${run.stderr}`);
  });
  await until(() => first.includes("\n"), "a first line of up", 90_000);
  const line = JSON.parse(first.split("\n")[0] ?? "") as { nats: string; store: string; context: string; pid: number };
  t.deepEqual(Object.keys(line), ["nats", "store", "context", "pid"]);
  t.true(existsSync(line.context));

  const source = join(directory, "greet.ts");
  await writeFile(source, SOURCE);
  const deployed = await pilot(["deploy", source, "--env", "PREFIX=Dr", "--json"]);
  t.is(deployed.code, 0, deployed.stderr);
  t.like(JSON.parse(deployed.stdout), {
    name: "greet",
    version: 1,
    account: "main",
    subject: "pilot.fn.main.greet",
    runtime: "node",
    unconfirmed: [],
  });

  const called = await pilot(["invoke", "greet", "--data", '{"name":"Who"}', "--trace", "--deadline", "60s"]);
  t.is(called.code, 0, called.stderr);
  t.is(called.stdout, '{"hello":"Who","prefix":"Dr"}');
  t.regex(called.stderr, /rung +(warm|cold|own)/);

  const plain = await pilot(["invoke", "greet", "--data", '{"name":"X"}', "--deadline", "60s", "-s", line.nats, "--json"]);
  t.like(JSON.parse(plain.stdout), { status: 200, body: { hello: "X" } });

  const thrown = await pilot(["invoke", "greet", "--data", '{"name":"X","boom":true}', "--deadline", "60s"]);
  t.is(thrown.code, 1);
  t.regex(thrown.stderr, /HandlerError \(500\): TypeError: no such greeting\n.*greet\.ts:4/);

  const missing = await pilot(["invoke", "gret"]);
  t.is(missing.code, 1);
  t.regex(missing.stderr, /FunctionNotFound \(404\)/);

  await until(async () => (await pilot(["logs", "greet"])).stdout.includes("greeting Who"), "the line that the function wrote", 20_000);
  t.regex((await pilot(["fn", "ls"])).stdout, /main +greet +@1/);
  t.is((JSON.parse((await pilot(["pool", "show", "--json"])).stdout) as { hosts: unknown[] }).hosts.length > 0, true);
  t.regex((await pilot(["fn", "where", "greet"])).stdout, /host-1/);
  const doctor = await pilot(["doctor", "--json"]);
  t.is(doctor.code, 0, doctor.stdout);
  for (const path of ["keeper", "frontend", "direct"]) t.regex(doctor.stdout, new RegExp(`"canary node ${path}","verdict":"ok"`));
  t.notRegex((await pilot(["account", "ls"])).stdout, /pilot-doctor/, "what doctor made is gone");

  // F015: with nothing kept warm, a new account's first call boots an instance.
  const none = await pilot(["pool", "set", "warm", "0", "--json"]);
  t.true((JSON.parse(none.stdout) as { warm: number }[]).every((row) => row.warm === 0));
  t.is((await pilot(["deploy", source, "--account", "shop"])).code, 0);
  const cold = await pilot(["invoke", "greet", "--account", "shop", "--data", '{"name":"Y"}', "--deadline", "60s", "--trace"]);
  t.is(cold.code, 0, cold.stderr);
  t.regex(cold.stderr, /rung +cold/);

  t.is((await pilot(["fn", "rm", "greet"])).code, 0);
  t.is((await pilot(["invoke", "greet"])).code, 1);

  stop.abort();
  const ended = await platform;
  t.is(ended.code, 0, ended.stderr);
  t.is((await pilot(["fn", "ls", "-s", line.nats])).code, 3, "nothing runs any more");
});
