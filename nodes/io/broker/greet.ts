/** Says hello to a NATS server over a bare socket: is it there, does it know this credential, which version is it? */
import { connect } from "node:net";
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";

export interface Greeting {
  readonly version: string;
  readonly serverId: string;
  readonly serverName: string;
  readonly jetstream: boolean;
}

/** Longest greeting that is read; a real one has about 500 bytes. */
const MOST = 64 * 1024;

/** Resolves once the server has answered PING on a connection with this credential. Rejects with Fault Unavailable or NotAllowed. */
export function greet(port: number, user: string | undefined, password: string | undefined, host = "127.0.0.1"): Promise<Greeting> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    let heard = "";
    let greeting: Greeting | undefined;
    const end = (error: Error | undefined): void => {
      socket.destroy();
      if (error === undefined && greeting !== undefined) resolve(greeting);
      else reject(error ?? new Fault("Unavailable", `what listens at ${host}:${port} is no NATS server`));
    };
    socket.setTimeout(LIMITS.brokerProbe.value, () => end(new Fault("Unavailable", `no answer from ${host}:${port}`)));
    socket.on("error", (error) => end(new Fault("Unavailable", `no server at ${host}:${port}: ${error.message}`, undefined, error)));
    socket.on("close", () => end(new Fault("Unavailable", `${host}:${port} closed the connection`)));
    socket.on("data", (chunk) => {
      heard += chunk.toString("latin1");
      if (greeting === undefined) {
        const stop = heard.indexOf("\r\n");
        if (stop < 0) return heard.length > MOST ? end(undefined) : undefined;
        greeting = readInfo(heard.slice(0, stop));
        if (greeting === undefined) return end(undefined);
        heard = heard.slice(stop + 2);
        const options = {
          verbose: false,
          pedantic: false,
          lang: "node",
          version: "0",
          name: "greeting",
          user,
          pass: password,
        };
        socket.write(`CONNECT ${JSON.stringify(options)}\r\nPING\r\n`);
      }
      if (/^PONG\r\n/m.test(heard)) return end(undefined);
      const refusal = /^-ERR '([^']*)'/m.exec(heard);
      if (refusal !== null) return end(new Fault("NotAllowed", `${host}:${port} refused the credential: ${refusal[1]}`));
      return heard.length > MOST ? end(new Fault("Unavailable", `${host}:${port} talks too much`)) : undefined;
    });
  });
}

function readInfo(line: string): Greeting | undefined {
  if (!line.startsWith("INFO ")) return undefined;
  try {
    const info = JSON.parse(line.slice(5)) as Record<string, unknown>;
    return {
      version: String(info["version"] ?? ""),
      serverId: String(info["server_id"] ?? ""),
      serverName: String(info["server_name"] ?? ""),
      jetstream: info["jetstream"] === true,
    };
  } catch {
    return undefined;
  }
}
