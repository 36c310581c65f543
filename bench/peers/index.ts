/** The peers that calls are compared with: each started here, from its own folder, with its packages in a cache outside the checkout. */
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { ConnectionSettings } from "../../nodes/io/context.ts";
import { startChild } from "../engine/child.ts";
import { installPeer, needProgram } from "../engine/install.ts";
import type { Call } from "../engine/load.ts";
import { chosenPort, probePort } from "../engine/ports.ts";

export interface Peer {
  readonly call: Call;
  stop(): Promise<void>;
}

/** Starts one. Rejects with a Fault when it cannot be installed or started here; nothing is left then. */
type Start = (folder: string, broker: ConnectionSettings) => Promise<Peer>;

/** Connections of a client over HTTP: one per call in flight. */
const CONNECTIONS = 64;

async function moleculer(folder: string, broker: ConnectionSettings): Promise<Peer> {
  const directory = await installPeer(folder);
  const options = { servers: broker.servers[0] ?? "", user: broker.user ?? "", pass: broker.password ?? "" };
  const node = join(directory, "node.cjs");
  const child = await startChild({
    program: process.execPath,
    words: [node, directory],
    environment: { PEER_BROKER: JSON.stringify(options) },
    isReady: (line) => line === "listening",
  });
  interface ServiceBroker {
    start(): Promise<void>;
    stop(): Promise<void>;
    waitForServices(name: string): Promise<unknown>;
    call(action: string, params: unknown): Promise<{ readonly text: string }>;
  }
  const { open } = createRequire(node)(node) as { open(directory: string, options: unknown, id: string): ServiceBroker };
  const client = open(directory, options, "bench-caller");
  await client.start();
  await client.waitForServices("bench");
  return {
    // Its serializer is JSON: text is what it carries best, a Buffer would be an array of numbers.
    call: async (body) => Buffer.from((await client.call("bench.echo", { text: Buffer.from(body).toString("latin1") })).text, "latin1"),
    async stop() {
      await client.stop();
      await child.stop();
    },
  };
}

interface Undici {
  Pool: new (
    origin: string,
    options: { connections: number; pipelining: number },
  ) => {
    request(options: {
      path: string;
      method: string;
      headers: Record<string, string>;
      body: Uint8Array;
    }): Promise<{ statusCode: number; body: { arrayBuffer(): Promise<ArrayBuffer> } }>;
    close(): Promise<void>;
  };
}

/** A client that keeps its connections, against a child that listens on the port. */
function overHttp(directory: string, port: number, child: { stop(): Promise<void> }): Peer {
  const { Pool } = createRequire(join(directory, "package.json"))("undici") as Undici;
  const pool = new Pool(`http://127.0.0.1:${port}`, { connections: CONNECTIONS, pipelining: 1 });
  return {
    async call(body) {
      const reply = await pool.request({ path: "/", method: "POST", headers: { "content-type": "application/octet-stream" }, body });
      const bytes = new Uint8Array(await reply.body.arrayBuffer());
      if (reply.statusCode !== 200) throw new Error(`status ${reply.statusCode}`);
      return bytes;
    },
    async stop() {
      await pool.close();
      await child.stop();
    },
  };
}

async function workerd(folder: string): Promise<Peer> {
  const directory = await installPeer(folder);
  const port = await chosenPort();
  const child = await startChild({
    program: join(directory, "node_modules", ".bin", "workerd"),
    words: ["serve", "config.capnp", "--socket-addr", `http=127.0.0.1:${port}`],
    directory,
    probe: () => probePort(port),
  });
  return overHttp(directory, port, child);
}

async function functionsFramework(folder: string): Promise<Peer> {
  const directory = await installPeer(folder);
  const port = await chosenPort();
  const child = await startChild({
    program: process.execPath,
    words: [join(directory, "node_modules", ".bin", "functions-framework"), "--target=echo", `--port=${port}`],
    directory,
    environment: { NODE_ENV: "production" },
    probe: () => probePort(port),
  });
  return overHttp(directory, port, child);
}

async function gearmand(folder: string): Promise<Peer> {
  const program = await needProgram("gearmand", "gearman-job-server");
  const port = await chosenPort();
  const server = await startChild({
    program,
    words: ["--listen=127.0.0.1", `--port=${port}`, "--log-file=stderr", "--verbose=ERROR"],
    probe: () => probePort(port),
  });
  const worker = await startChild({
    program: process.execPath,
    words: [join(folder, "worker.mjs"), String(port)],
    isReady: (line) => line === "listening",
  });
  const { openClient } = (await import(pathToFileURL(join(folder, "client.mjs")).href)) as {
    openClient(port: number): Promise<{ call: Call; end(): void }>;
  };
  const client = await openClient(port);
  return {
    call: client.call,
    async stop() {
      client.end();
      await worker.stop();
      await server.stop();
    },
  };
}

/** By the name of their folder. */
export const PEERS: Readonly<Record<string, Start>> = { moleculer, workerd, gearmand, "functions-framework": functionsFramework };
