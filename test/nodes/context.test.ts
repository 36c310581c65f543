import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { resolveConnection } from "../../nodes/io/context.ts";
import { register } from "../../nodes/io/running.ts";
import { Fault } from "../../protocol/errors.ts";
import { temporaryDirectory } from "../support/temp.ts";

interface Home {
  readonly environment: NodeJS.ProcessEnv;
  readonly directory: string;
  context(name: string, content: Record<string, unknown>): Promise<string>;
}

async function homeOf(t: ExecutionContext): Promise<Home> {
  const directory = await temporaryDirectory(t);
  const contexts = join(directory, ".config", "nats", "context");
  await mkdir(contexts, { recursive: true });
  return {
    directory,
    environment: { HOME: directory },
    async context(name, content) {
      const path = join(contexts, `${name}.json`);
      await writeFile(path, JSON.stringify(content));
      return path;
    },
  };
}

/** A pilot up that runs, as far as the registry knows: this very process. */
async function runningAt(home: Home, nats: string): Promise<void> {
  const context = await home.context("operator-of-it", {
    url: nats,
    user: "operator",
    password: "secret",
    inbox_prefix: "_INBOX.operator",
  });
  await register({ nats, store: home.directory, context, pid: process.pid, startedAt: 1 }, home.environment);
}

test("with nothing given and nothing running it is the default server and nobody in particular", async (t) => {
  const { environment } = await homeOf(t);
  const settings = await resolveConnection({}, environment);
  t.deepEqual(settings.servers, ["nats://127.0.0.1:4222"]);
  t.is(settings.user, undefined);
});

test("with nothing given the running pilot up is found, as its operator", async (t) => {
  const home = await homeOf(t);
  await runningAt(home, "nats://127.0.0.1:4711");
  t.like(await resolveConnection({}, home.environment), {
    servers: ["nats://127.0.0.1:4711"],
    user: "operator",
    password: "secret",
    inboxPrefix: "_INBOX.operator",
  });
});

test("only a server: the operator of the running one with that address, else nobody", async (t) => {
  const home = await homeOf(t);
  await runningAt(home, "nats://127.0.0.1:4711");
  t.is((await resolveConnection({}, { ...home.environment, NATS_URL: "localhost:4711" })).user, "operator");
  t.is((await resolveConnection({ server: "nats://127.0.0.1:4712" }, home.environment)).user, undefined);
});

test("credentials that are given are never mixed with those of the running one", async (t) => {
  const home = await homeOf(t);
  await runningAt(home, "nats://127.0.0.1:4711");
  const byFlag = await resolveConnection({ server: "nats://127.0.0.1:4711", token: "t" }, home.environment);
  t.is(byFlag.user, undefined);
  t.is(byFlag.token, "t");
  const byUrl = await resolveConnection({ server: "nats://me:p%40ss@127.0.0.1:4711" }, home.environment);
  t.like(byUrl, { servers: ["nats://127.0.0.1:4711"], user: "me", password: "p@ss" });
});

test("flags beat the environment, which beats the context", async (t) => {
  const home = await homeOf(t);
  await home.context("far", { url: "nats://far:1", user: "c", password: "c" });
  const environment = { ...home.environment, NATS_CONTEXT: "far", NATS_USER: "e", NATS_PASSWORD: "e" };
  t.like(await resolveConnection({}, home.environment), { user: undefined });
  t.like(await resolveConnection({ context: "far" }, home.environment), {
    servers: ["nats://far:1"],
    user: "c",
    password: "c",
  });
  t.like(await resolveConnection({}, environment), { servers: ["nats://far:1"], user: "e", password: "e" });
  t.like(await resolveConnection({ user: "f", password: "f", server: "near:2" }, environment), {
    servers: ["nats://near:2"],
    user: "f",
    password: "f",
  });
  t.like(await resolveConnection({ user: "f" }, { ...home.environment, NATS_PASSWORD: "e" }), {
    user: "f",
    password: "e",
  });
});

test("a context is named, or given as a path, or the selected one", async (t) => {
  const home = await homeOf(t);
  const path = await home.context("far", { url: "nats://far:1", token: "x" });
  t.is((await resolveConnection({ context: path }, home.environment)).token, "x");
  await writeFile(join(home.directory, ".config", "nats", "context.txt"), "far\n");
  t.is((await resolveConnection({}, home.environment)).token, "x");
  const moved = { HOME: "/nowhere", XDG_CONFIG_HOME: join(home.directory, ".config") };
  t.is((await resolveConnection({ context: "far" }, moved)).token, "x");
});

test("files of credentials and seeds are read", async (t) => {
  const home = await homeOf(t);
  await writeFile(join(home.directory, "me.creds"), "-----BEGIN");
  await writeFile(join(home.directory, "me.nk"), "SUAB\n");
  t.is((await resolveConnection({ creds: "~/me.creds" }, home.environment)).creds, "-----BEGIN");
  t.is((await resolveConnection({}, { ...home.environment, NATS_NKEY: join(home.directory, "me.nk") })).nkeySeed, "SUAB");
});

test("what cannot be used is named in a plain refusal", async (t) => {
  const home = await homeOf(t);
  const refused = async (flags: Parameters<typeof resolveConnection>[0], message: RegExp): Promise<void> => {
    await t.throwsAsync(resolveConnection(flags, home.environment), { instanceOf: Fault, name: "BadRequest", message });
  };
  await refused({ context: "absent" }, /context absent cannot be read/);
  await refused({ creds: "/absent" }, /credentials file cannot be read/);
  await refused({ server: "http://host" }, /no NATS server/);
  await refused({ server: "nats://" }, /no NATS server/);
  await home.context("broken", {});
  await writeFile(join(home.directory, ".config", "nats", "context", "broken.json"), "{");
  await refused({ context: "broken" }, /no JSON object/);
});

test("entries of dead processes are ignored and removed", async (t) => {
  const home = await homeOf(t);
  const context = await home.context("dead", { url: "nats://127.0.0.1:4711", user: "operator" });
  await register({ nats: "nats://127.0.0.1:4711", store: "/", context, pid: 2 ** 22 + 1, startedAt: 1 }, home.environment);
  const running = join(home.directory, ".local", "state", "pilotlight", "running");
  await writeFile(join(running, "99.json"), "garbage");
  t.is((await resolveConnection({}, home.environment)).user, undefined);
});
