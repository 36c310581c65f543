/**
 * Where to connect and as whom, from flags, environment and NATS contexts as the `nats` command reads them.
 *
 * X1  Flags beat environment beat context. Credentials come from one layer as a whole: the first that names any.
 * X2  With neither flags nor environment: the newest `pilot up` on this machine, as its operator; else the selected NATS context.
 * X3  With only a server: the `pilot up` with that URL, as its operator; else nobody in particular.
 */
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import { Fault } from "../../protocol/errors.ts";
import { listRunning } from "./running.ts";

/** The connection flags of a command; each is undefined when not given. */
export interface ConnectionFlags {
  readonly server?: string | undefined;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  readonly token?: string | undefined;
  /** Path of a credentials file. */
  readonly creds?: string | undefined;
  /** Path of a file with an nkey seed. */
  readonly nkey?: string | undefined;
  /** Name of a NATS context, or path of a context file. */
  readonly context?: string | undefined;
  readonly tlscert?: string | undefined;
  readonly tlskey?: string | undefined;
  readonly tlsca?: string | undefined;
  readonly inboxPrefix?: string | undefined;
}

/** Plain data for a connection; files have been read. */
export interface ConnectionSettings {
  readonly servers: readonly string[];
  readonly user?: string;
  readonly password?: string;
  readonly token?: string;
  /** Content of a credentials file. */
  readonly creds?: string;
  readonly nkeySeed?: string;
  readonly jwt?: string;
  /** Paths of PEM files. */
  readonly tls?: { readonly cert?: string; readonly key?: string; readonly ca?: string };
  readonly inboxPrefix?: string;
  /** Where this came from, for people: "the running pilot up 4711", "--server". */
  readonly origin: string;
}

/** One layer of settings in the words of a context file. */
type Layer = Readonly<Partial<Record<(typeof KEYS)[number], string>>>;
const KEYS = ["url", "user", "password", "token", "creds", "nkey", "user_jwt", "user_seed", "cert", "key", "ca", "inbox_prefix"] as const;
const CREDENTIALS = ["user", "token", "creds", "nkey", "user_jwt"] as const;

/** Rejects with Fault BadRequest when a file or URL that was named cannot be used. */
export async function resolveConnection(flags: ConnectionFlags, environment: NodeJS.ProcessEnv): Promise<ConnectionSettings> {
  const fromFlags = withUrlCredentials(flagLayer(flags));
  const fromEnvironment = withUrlCredentials(environmentLayer(environment));
  const named = flags.context ?? nonEmpty(environment["NATS_CONTEXT"]);
  if (named !== undefined) {
    const layers = [fromFlags, fromEnvironment, await readContext(named, environment)];
    return settle(layers, `the context ${named}`, environment);
  }
  const url = fromFlags.url ?? fromEnvironment.url;
  const given = [fromFlags, fromEnvironment].some((layer) => CREDENTIALS.some((key) => layer[key] !== undefined));
  const source = fromFlags.url !== undefined ? "--server" : fromEnvironment.url !== undefined ? "NATS_URL" : "flags and environment";
  if (given) return settle([fromFlags, fromEnvironment], source, environment);
  const wanted = url === undefined ? undefined : addresses(url);
  for (const entry of await listRunning(environment)) {
    if (wanted !== undefined && !wanted.includes(addresses(entry.nats)[0])) continue;
    const layers = [fromFlags, fromEnvironment, await readContext(entry.context, environment)];
    return settle(layers, `the running pilot up ${entry.pid}`, environment);
  }
  if (url !== undefined) return settle([fromFlags, fromEnvironment], source, environment);
  const selected = await readFile(join(natsDirectory(environment), "context.txt"), "utf8").catch(() => "");
  if (selected.trim() !== "") {
    const layers = [fromFlags, fromEnvironment, await readContext(selected.trim(), environment)];
    return settle(layers, `the selected context ${selected.trim()}`, environment);
  }
  return settle([fromFlags, fromEnvironment], "the default, as no pilot up is running here", environment);
}

function flagLayer(flags: ConnectionFlags): Layer {
  return strip({
    url: flags.server,
    user: flags.user,
    password: flags.password,
    token: flags.token,
    creds: flags.creds,
    nkey: flags.nkey,
    cert: flags.tlscert,
    key: flags.tlskey,
    ca: flags.tlsca,
    inbox_prefix: flags.inboxPrefix,
  });
}

function environmentLayer(environment: NodeJS.ProcessEnv): Layer {
  return strip({
    url: environment["NATS_URL"],
    user: environment["NATS_USER"],
    password: environment["NATS_PASSWORD"],
    token: environment["NATS_TOKEN"],
    creds: environment["NATS_CREDS"],
    nkey: environment["NATS_NKEY"],
    user_jwt: environment["NATS_JWT"],
    user_seed: environment["NATS_SEED"],
    cert: environment["NATS_CERT"],
    key: environment["NATS_KEY"],
    ca: environment["NATS_CA"],
    inbox_prefix: environment["NATS_INBOX_PREFIX"],
  });
}

/** Reads a context by name from the user's NATS directory, or by path when the name has a slash or ends in .json. */
async function readContext(name: string, environment: NodeJS.ProcessEnv): Promise<Layer> {
  const isPath = name.includes("/") || name.endsWith(".json");
  const path = isPath ? atHome(name, environment) : join(natsDirectory(environment), "context", `${name}.json`);
  const content = await readNamed(path, `the context ${name}`);
  try {
    const parsed = JSON.parse(content) as Record<string, unknown>;
    return withUrlCredentials(
      strip(Object.fromEntries(KEYS.map((key) => [key, typeof parsed[key] === "string" ? parsed[key] : undefined]))),
    );
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw new Fault("BadRequest", `the context file ${path} is no JSON object`, undefined, error);
  }
}

async function settle(layers: readonly Layer[], origin: string, environment: NodeJS.ProcessEnv): Promise<ConnectionSettings> {
  const first = (key: (typeof KEYS)[number]): string | undefined => layers.find((layer) => layer[key] !== undefined)?.[key];
  const url = first("url") ?? "nats://127.0.0.1:4222";
  addresses(url);
  const who = layers.find((layer) => CREDENTIALS.some((key) => layer[key] !== undefined)) ?? {};
  const password = who.password ?? (who.user === undefined ? undefined : first("password"));
  const seedFile = who.nkey;
  const creds = who.creds === undefined ? undefined : await readNamed(atHome(who.creds, environment), "the credentials file");
  const nkeySeed = seedFile === undefined ? who.user_seed : (await readNamed(atHome(seedFile, environment), "the nkey file")).trim();
  const file = (name: "cert" | "key" | "ca"): string | undefined => {
    const path = first(name);
    return path && atHome(path, environment);
  };
  const [cert, key, ca] = [file("cert"), file("key"), file("ca")];
  const inboxPrefix = first("inbox_prefix");
  return {
    servers: url.split(",").map((one) => bareUrl(one.trim())),
    ...(who.user !== undefined && { user: who.user }),
    ...(password !== undefined && { password }),
    ...(who.token !== undefined && { token: who.token }),
    ...(creds !== undefined && { creds }),
    ...(nkeySeed !== undefined && { nkeySeed }),
    ...(who.user_jwt !== undefined && { jwt: who.user_jwt }),
    ...((cert ?? key ?? ca) !== undefined && {
      tls: { ...(cert !== undefined && { cert }), ...(key !== undefined && { key }), ...(ca !== undefined && { ca }) },
    }),
    ...(inboxPrefix !== undefined && { inboxPrefix }),
    origin,
  };
}

function parseUrl(text: string): URL {
  const whole = /^[a-z]+:\/\//.test(text) ? text : `nats://${text}`;
  try {
    const url = new URL(whole);
    if (/^(nats|tls|ws|wss):$/.test(url.protocol) && url.hostname !== "") return url;
  } catch {
    // said below
  }
  throw new Fault("BadRequest", `${JSON.stringify(text)} is no NATS server; write it as nats://host:port`);
}

/** Comparable `host:port` of each server in a list. */
function addresses(list: string): [string, ...string[]] {
  const [first = "", ...rest] = list.split(",").map((one) => {
    const url = parseUrl(one.trim());
    const host = url.hostname === "localhost" || url.hostname === "[::1]" ? "127.0.0.1" : url.hostname;
    return `${host}:${url.port === "" ? "4222" : url.port}`;
  });
  return [first, ...rest];
}

function bareUrl(text: string): string {
  const url = parseUrl(text);
  return `${url.protocol}//${url.hostname}:${url.port === "" ? "4222" : url.port}`;
}

/** `nats://user:password@host` and `nats://token@host` name credentials too, unless the layer names others. */
function withUrlCredentials(layer: Layer): Layer {
  if (layer.url === undefined || CREDENTIALS.some((key) => layer[key] !== undefined)) return layer;
  const url = parseUrl(layer.url.split(",")[0]?.trim() ?? "");
  if (url.username === "") return layer;
  const user = decodeURIComponent(url.username);
  return url.password === "" ? { ...layer, token: user } : { ...layer, user, password: decodeURIComponent(url.password) };
}

function natsDirectory(environment: NodeJS.ProcessEnv): string {
  const base = environment["XDG_CONFIG_HOME"];
  return join(base !== undefined && isAbsolute(base) ? base : join(environment["HOME"] ?? homedir(), ".config"), "nats");
}

function atHome(path: string, environment: NodeJS.ProcessEnv): string {
  return path.startsWith("~/") ? join(environment["HOME"] ?? homedir(), path.slice(2)) : path;
}

async function readNamed(path: string, what: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new Fault("BadRequest", `${what} cannot be read: ${(error as Error).message}`, undefined, error);
  }
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}

function strip(layer: Record<string, string | undefined>): Layer {
  return Object.fromEntries(Object.entries(layer).filter(([, value]) => value !== undefined && value !== ""));
}
