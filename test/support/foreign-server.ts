/** A nats-server that is not ours: its configuration is the test's, and it is gone with the test. */
import { type ChildProcess, spawn } from "node:child_process";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import { findBroker } from "../../nodes/io/broker/find.ts";
import { temporaryDirectory } from "./temp.ts";
import { until } from "./until.ts";

export interface ForeignServer {
  readonly url: string;
  /** Ends it with this signal, and starts it again on the same port with the same or another configuration. */
  again(config?: string, signal?: NodeJS.Signals): Promise<void>;
}

/** Where JetStream is to keep its data stands as `STORE` in the configuration. */
export async function serveForeign(t: ExecutionContext, config: string): Promise<ForeignServer> {
  const directory = await temporaryDirectory(t);
  const { path } = await findBroker({ allowDownload: true });
  const file = join(directory, "server.conf");
  let child: ChildProcess | undefined;
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    child?.kill(signal);
    await until(() => child === undefined || child.exitCode !== null || child.signalCode !== null, "the end of the server", 20_000);
  };
  t.teardown(() => end("SIGKILL"));
  const start = async (text: string, port: number): Promise<string> => {
    for (const name of await readdir(directory)) if (name.endsWith(".ports")) await rm(join(directory, name));
    const stored = text.replaceAll("STORE", JSON.stringify(join(directory, "js")));
    await writeFile(file, `host: "127.0.0.1"\nport: ${port}\nports_file_dir: ${JSON.stringify(directory)}\n${stored}`);
    const now = spawn(path, ["-c", file], { stdio: ["ignore", "ignore", "pipe"] });
    child = now;
    let said = "";
    now.stderr.setEncoding("utf8").on("data", (more: string) => (said += more));
    const ports = await until(
      async () => {
        if (now.exitCode !== null) return { nats: [] };
        const name = (await readdir(directory)).find((one) => one.endsWith(".ports"));
        return name === undefined ? undefined : (JSON.parse(await readFile(join(directory, name), "utf8")) as { nats: string[] });
      },
      "a server",
      10_000,
    );
    if (ports.nats[0] === undefined) throw new Error(said);
    return ports.nats[0];
  };
  const url = await start(config, -1);
  return {
    url,
    async again(text = config, signal = "SIGTERM") {
      await end(signal);
      await start(text, Number(new URL(url).port));
    },
  };
}
