/**
 * Runs a nats-server as a child process.
 *
 * S1  `startBroker` resolves when the server accepts a client with a credential of ours, and rejects with its last words when it ends first.
 * S2  Where setpriv exists (Linux) the kernel kills the server when this process dies, however it dies.
 *     It stands in a session of its own, so that Ctrl-C in a terminal does not reach it before its clients are gone.
 * S3  `stop` leaves no process and removes the pid and ports files; the stored data stays.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { goesFirst } from "../precedence.ts";
import { until } from "../until.ts";
import { type BrokerCluster, type BrokerUser, brokerConfig } from "./config.ts";
import { type Greeting, greet } from "./greet.ts";
import { lifelineOf } from "./lifeline.ts";

export interface StartBroker {
  /** The program, and its version as found. */
  readonly path: string;
  readonly version: string;
  /** Directory of its own, for data, configuration, log and run files; made when missing, mode 0700. */
  readonly directory: string;
  /** 0: the server chooses. */
  readonly port: number;
  readonly users: readonly BrokerUser[];
  readonly system: { readonly user: string; readonly password: string };
  readonly syncAlways?: boolean;
  /** For one server of several: its name among them, and the cluster. Its readiness does not wait for the others. */
  readonly serverName?: string;
  readonly cluster?: BrokerCluster;
}

export interface RunningBroker {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  readonly version: string;
  /** Orderly stop, then SIGKILL after the limit. Legal twice, and after the end. */
  stop(): Promise<void>;
  /** SIGKILL. What it stored so far is in the kernel's hands and stays. */
  kill(): void;
  /** Resolves when the process is gone, with one sentence on how. */
  readonly exited: Promise<string>;
}

/** Starts a server. Rejects with Fault Unavailable and the reason in its last lines. */
export async function startBroker(order: StartBroker): Promise<RunningBroker> {
  const run = join(order.directory, "run");
  await mkdir(run, { recursive: true, mode: 0o700 });
  await mkdir(join(order.directory, "data"), { recursive: true, mode: 0o700 });
  await removePorts(run);
  const configFile = join(order.directory, "server.conf");
  const logFile = join(order.directory, "server.log");
  const config = brokerConfig({
    version: order.version,
    port: order.port,
    serverName: order.serverName ?? "pilotlight",
    storeDirectory: join(order.directory, "data"),
    files: { portsDirectory: run, pidFile: join(run, "server.pid"), logFile },
    users: order.users,
    system: order.system,
    ...(order.syncAlways !== undefined && { syncAlways: order.syncAlways }),
    ...(order.cluster !== undefined && { cluster: order.cluster }),
  });
  await writeFile(configFile, config, { mode: 0o600 });

  const lifeline = await lifelineOf();
  const [program = order.path, ...words] = [...lifeline, order.path, "-c", configFile];
  const child = spawn(program, words, {
    stdio: ["ignore", "ignore", "pipe"],
    env: {},
    cwd: order.directory,
    detached: true,
  });
  goesFirst(child.pid);
  let lastWords = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    lastWords = (lastWords + text).slice(-4_096);
  });
  let over = false;
  const exited = endOf(child).then(async (how) => {
    over = true;
    // Part of its end: whoever waits for that may look at the directory next, or remove it.
    await removePorts(run);
    return how;
  });
  const ready = await until(
    () => readyPort(order, run, child),
    LIMITS.brokerStart.value,
    () => over,
  );
  if (ready === undefined) {
    child.kill("SIGKILL");
    const how = await exited;
    const why = await reason(lastWords, logFile);
    if (/address already in use/.test(why))
      throw new Fault("BadRequest", `port ${order.port} is in use by another program; give another with --port, or 0 for a free one`);
    throw new Fault("Unavailable", `nats-server did not start (${how}): ${why}`);
  }
  return {
    url: `nats://127.0.0.1:${ready.port}`,
    port: ready.port,
    pid: child.pid ?? 0,
    version: ready.greeting.version,
    exited,
    kill: () => void child.kill("SIGKILL"),
    async stop() {
      child.kill("SIGTERM");
      const killer = setTimeout(() => child.kill("SIGKILL"), LIMITS.brokerStop.value);
      await exited;
      clearTimeout(killer);
    },
  };
}

/** The port once the server of this very child answers there; undefined while it does not. */
async function readyPort(order: StartBroker, run: string, child: ChildProcess): Promise<{ port: number; greeting: Greeting } | undefined> {
  // Also with a given port: somebody else may listen there, and only our own child writes this file, once it listens.
  const port = await chosenPort(run, child.pid);
  if (port === undefined) return undefined;
  try {
    const user = order.users[0] ?? order.system;
    return { port, greeting: await greet(port, user.user, user.password) };
  } catch {
    return undefined;
  }
}

async function chosenPort(run: string, pid: number | undefined): Promise<number | undefined> {
  try {
    const ports = JSON.parse(await readFile(join(run, `nats-server_${pid}.ports`), "utf8")) as {
      nats?: readonly string[];
    };
    const url = ports.nats?.[0];
    return url === undefined ? undefined : Number(new URL(url).port);
  } catch {
    return undefined;
  }
}

async function removePorts(run: string): Promise<void> {
  for (const name of await readdir(run).catch(() => [])) {
    if (name.endsWith(".ports") || name === "server.pid") await rm(join(run, name), { force: true });
  }
}

async function reason(lastWords: string, logFile: string): Promise<string> {
  const log = await readFile(logFile, "utf8").catch(() => "");
  const lines = `${log.slice(-4_096)}\n${lastWords}`.split("\n").filter((line) => /\[(FTL|ERR)\]|nats-server:/.test(line));
  return lines.slice(-3).join("; ") || "it said nothing";
}

function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once("error", (error) => resolve(`it cannot be run: ${error.message}`));
    child.once("exit", (code, signal) => resolve(signal === null ? `it exited with code ${code}` : `it was ended by ${signal}`));
  });
}
