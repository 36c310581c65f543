/** Who has a port of the loopback, for people. Knowing the process needs Linux and the right to look at it. */
import { readdir, readFile, readlink } from "node:fs/promises";
import { createServer } from "node:net";
import { listRunning } from "../running.ts";

/** Why the port cannot be listened on now, with who has it where that can be known; undefined when it can. 0 always can. */
export async function portProblem(port: number, environment: NodeJS.ProcessEnv): Promise<string | undefined> {
  const code = await listenCode(port);
  if (code === undefined) return undefined;
  if (code === "EACCES") return `port ${port} is not for this user: ports below 1024 are for root`;
  if (code !== "EADDRINUSE") return `port ${port} cannot be listened on (${code})`;
  const up = (await listRunning(environment)).find(({ nats }) => new URL(nats).port === String(port));
  const who = up === undefined ? await holderOf(port) : `the pilot up of process ${up.pid}`;
  return `port ${port} is in use by ${who ?? "another program"}`;
}

function listenCode(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    probe.listen({ port, host: "127.0.0.1", exclusive: true }, () => probe.close(() => resolve(undefined)));
  });
}

/** By the kernel's table of listening sockets and the open files of each process. */
async function holderOf(port: number): Promise<string | undefined> {
  const tables = await Promise.all(["tcp", "tcp6"].map((name) => readFile(`/proc/net/${name}`, "utf8").catch(() => "")));
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const sockets = new Set(
    tables
      .flatMap((table) => table.split("\n").map((line) => line.trim().split(/\s+/)))
      .filter(([, local = "", , state]) => local.endsWith(suffix) && state === "0A")
      .map((columns) => `socket:[${columns[9]}]`),
  );
  if (sockets.size === 0) return undefined;
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    for (const file of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
      if (!sockets.has(await readlink(`/proc/${pid}/fd/${file}`).catch(() => ""))) continue;
      const name = (await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "")).trim();
      return `${name} (process ${pid})`;
    }
  }
  return undefined;
}
