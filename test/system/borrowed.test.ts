/** `up` on a NATS server that somebody else runs, with the configuration that `pilot permissions` prints. */
import { spawn } from "node:child_process";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { findBroker } from "../../nodes/io/broker/find.ts";
import { resolveConnection } from "../../nodes/io/context.ts";
import { connect } from "../../nodes/io/nats.ts";
import { up } from "../../nodes/up.ts";
import { Fault } from "../../protocol/errors.ts";
import { runCli } from "../support/run-cli.ts";
import { temporaryDirectory } from "../support/temp.ts";
import { until } from "../support/until.ts";

/** A nats-server with this configuration; its URL. */
async function serve(t: ExecutionContext, config: string): Promise<string> {
  const directory = await temporaryDirectory(t);
  const { path } = await findBroker({ allowDownload: true });
  const stored = config.replace(
    "jetstream: enabled\naccounts",
    `jetstream { store_dir: ${JSON.stringify(join(directory, "js"))} }\naccounts`,
  );
  await writeFile(join(directory, "server.conf"), `host: "127.0.0.1"\nport: -1\nports_file_dir: ${JSON.stringify(directory)}\n${stored}`);
  const child = spawn(path, ["-c", join(directory, "server.conf")], { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
  t.teardown(async () => {
    child.kill("SIGKILL");
    await until(() => child.exitCode !== null || child.signalCode !== null, "the end of the server");
  });
  const file = await until(
    async () => {
      if (child.exitCode !== null) throw new Error(said);
      return (await readdir(directory)).find((name) => name.endsWith(".ports"));
    },
    `a server: ${said}`,
    10_000,
  );
  const ports = await until(async () => JSON.parse(await readFile(join(directory, file), "utf8")) as { nats: string[] }, "its port");
  return ports.nats[0] ?? "";
}

const operatorOf = (config: string): string => /user: "operator", password: "([^"]+)"/.exec(config)?.[1] ?? "";

test.serial(
  "up on a server that runs already serves calls with the rights that permissions prints, and doctor looks at its edge",
  async (t) => {
    t.timeout(120_000);
    const { stdout: config } = await runCli(["permissions"]);
    const url = await serve(t, config);
    const state = await temporaryDirectory(t);
    const environment = { ...process.env, PILOT_STATE_HOME: state };
    const server = await resolveConnection({ server: url, user: "operator", password: operatorOf(config) }, { PILOT_STATE_HOME: state });
    const store = join(await temporaryDirectory(t), "store");
    const running = await up({ server, store, environment, warm: { node: 1, python: 0 } });
    t.teardown(() => running.stop());
    t.is(running.nats, url);
    t.is(running.pidOf("broker"), undefined);

    const file = join(state, "hello.js");
    await writeFile(file, "export const handler = (event) => ({ hello: event.name });");
    const env = { PILOT_STATE_HOME: state, HOME: state };
    t.is((await runCli(["deploy", file], { env })).code, 0);
    const reply = await runCli(["invoke", "hello", "--data", '{"name":"you"}'], { env });
    t.is(reply.stdout, '{"hello":"you"}', reply.stderr);

    // Any caller of that server, without a credential; and by default no host answers by itself there.
    const caller = await connect({ servers: [url] }, { name: "test", role: "anonymous", node: "test" });
    t.teardown(() => caller.close());
    for (let nth = 0; nth < 6; nth++) {
      const { headers } = await caller.caller.call("pilot.fn.main.hello", new TextEncoder().encode("{}"), {
        headers: { "Pilot-Trace": "1" },
        timeoutMs: 20_000,
      });
      t.not(headers["Pilot-Path"], "direct");
    }
    const doctor = await runCli(["doctor", "--offline"], { env });
    t.is(doctor.code, 0, doctor.stdout);
    t.regex(doctor.stdout, /ok +edge +who gives no credential reaches public subjects only; .*the server's own configuration/);
    t.regex(doctor.stdout, /the server that runs at/);

    // Another form on the same server has other names and shares the work.
    const other = await up({ server, store: `${store}-2`, environment, warm: { node: 0, python: 0 } });
    const names = (await readdir(join(`${store}-2`, "contexts"))).filter((name) => (name.startsWith("host-") ? true : undefined));
    t.is((await readdir(join(store, "contexts"))).filter((name) => names.includes(name)).length, 0);
    await other.stop();
    await running.stop();
  },
);

test.serial("a server without JetStream, with small messages or with too few rights is refused before anything starts", async (t) => {
  t.timeout(60_000);
  const refused = async (config: string, flags: { user?: string; password?: string }, wanted: RegExp, next: RegExp) => {
    const server = await resolveConnection({ server: await serve(t, config), ...flags }, { PILOT_STATE_HOME: "/nowhere" });
    const store = join(await temporaryDirectory(t), "store");
    const fault = await t.throwsAsync(up({ server, store }), { instanceOf: Fault });
    t.regex(fault?.message ?? "", wanted);
    t.regex(String((fault as Fault | undefined)?.details?.["next"]), next);
  };
  await refused("max_payload: 4194304\n", {}, /JetStream/, /jetstream enabled/);
  await refused("", {}, /messages of 1048576 bytes/, /max_payload: 4194304/);
  const config = (await runCli(["permissions"])).stdout;
  await refused(config, {}, /credential|permit|may not/i, /pilot permissions/);
  const host = /user: "host", password: "([^"]+)"/.exec(config)?.[1] ?? "";
  await refused(config, { user: "host", password: host }, /credential|permit|may not|prepared/i, /pilot permissions/);
});

test("a flag that makes no sense for a server that runs ends with 2", async (t) => {
  for (const words of [
    ["--server", "nats://127.0.0.1:9", "--port", "4300"],
    ["--creds", "x.creds"],
    ["--direct"],
    ["--broker", "nats://127.0.0.1:9"],
  ]) {
    const run = await runCli(["up", ...words]);
    t.is(run.code, 2, `${words.join(" ")}: ${run.stderr}`);
  }
});
