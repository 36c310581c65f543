/** The commands about nodes, hosts and clusters: what they refuse, and what they write. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import test from "ava";
import { runCli } from "../support/run-cli.ts";
import { temporaryDirectory } from "../support/temp.ts";

test("node run says what is missing or does not go together, and exits with 2", async (t) => {
  for (const [words, said] of [
    [["node", "run"], /--roles says what to run/],
    [["node", "run", "--roles", "king"], /is not a role: there are scheduler, frontend, host, gateway/],
    [["node", "run", "--roles", "host", "--store", "a", "--contexts", "b"], /either --store or --contexts/],
    [["node", "run", "--roles", "host", "--store", "a", "--user", "b"], /--user does not go with/],
    [["node", "run", "--roles", "host", "--store", "/nowhere", "--temporary"], /no credential for a host/],
    [["node", "run", "--roles", "host", "--contexts", "x", "--temporary", "--data", "y"], /never removed/],
    [["node", "run", "--roles", "host", "--name", "a.b"], /not part of an id/],
    [["node", "run", "--roles", "host", "--hosts", "0"], /--hosts/],
  ] as const) {
    const run = await runCli([...words]);
    t.is(run.code, 2, words.join(" "));
    t.regex(run.stderr, said);
    t.is(run.stdout, "");
  }
});

test("cluster init writes what nodes and servers need, and nothing over what is there", async (t) => {
  const directory = join(await temporaryDirectory(t), "my cluster");
  const words = ["cluster", "init", directory, "--brokers", "nats-1,nats-2:5000,10.0.0.3", "--storage", "/srv/nats", "--json"];
  const run = await runCli(words);
  t.is(run.code, 0, run.stderr);
  const written = JSON.parse(run.stdout) as { configs: string[]; contexts: Record<string, string>; url: string };
  t.is(written.url, "nats://nats-1:4222,nats://nats-2:5000,nats://10.0.0.3:4222");
  t.deepEqual((await readdir(join(directory, "brokers"))).sort(), ["10-0-0-3-4222.conf", "nats-1.conf", "nats-2.conf"]);
  const again = await runCli(words);
  t.is(again.code, 2);
  t.regex(again.stderr, /not empty[\s\S]*--force/);
  t.is((await runCli([...words, "--force"])).code, 0);
});

test("cluster init refuses what is no server", async (t) => {
  const directory = await temporaryDirectory(t);
  for (const brokers of ["nats://nats-1", "nats-1,nats-1", "", "nats-1:99999"]) {
    const run = await runCli(["cluster", "init", join(directory, "c"), "--brokers", brokers]);
    t.is(run.code, 2, brokers);
  }
  t.is((await runCli(["cluster", "init", join(directory, "c")])).code, 2);
  t.deepEqual(await readdir(directory), []);
});

test("host commands need a host", async (t) => {
  for (const verb of ["show", "drain", "cordon", "uncordon"]) t.is((await runCli(["host", verb])).code, 2, verb);
  t.is((await runCli(["host", "drain", "a.b"])).code, 2);
  t.is((await runCli(["host", "drain", "host-1", "--timeout", "5"])).code, 2);
});
