/** The HTTP client of benchmarks: Node's own, with connections that are kept. */
import { Agent, request } from "node:http";
import { fileURLToPath } from "node:url";
import { type Child, startChild } from "./child.ts";
import type { Call } from "./load.ts";
import { chosenPort, probePort } from "./ports.ts";

const CONNECTIONS = 64;
const HEADERS = { "content-type": "application/octet-stream" };

export interface HttpClient {
  /** A POST of the body to that path; rejects for any status but 200. */
  calls(port: number, path: string): Call;
  close(): void;
}

export function openHttpClient(): HttpClient {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS, scheduling: "lifo" });
  return {
    calls: (port, path) => (body) =>
      new Promise((resolve, reject) => {
        const headers = { ...HEADERS, "content-length": body.length };
        const sent = request({ host: "127.0.0.1", port, path, method: "POST", agent, headers }, (response) => {
          const pieces: Buffer[] = [];
          response.on("data", (piece: Buffer) => pieces.push(piece));
          response.on("error", reject);
          response.on("end", () => {
            if (response.statusCode === 200) resolve(pieces.length === 1 ? (pieces[0] ?? Buffer.alloc(0)) : Buffer.concat(pieces));
            else reject(new Error(`status ${response.statusCode}`));
          });
        });
        sent.on("error", reject);
        sent.end(body);
      }),
    close: () => agent.destroy(),
  };
}

/** A bare echo in a process of its own. */
export async function startHttpEcho(): Promise<{ readonly port: number; readonly child: Child }> {
  const port = await chosenPort();
  const child = await startChild({
    program: process.execPath,
    words: [fileURLToPath(new URL("./http-echo.js", import.meta.url)), String(port)],
    probe: () => probePort(port),
  });
  return { port, child };
}
