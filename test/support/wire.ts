/** The NATS protocol by hand, for what no client library would send. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { until } from "./until.ts";

export interface Wire {
  readonly socket: Socket;
  /** Everything the server has sent, as latin-1 text. */
  heard(): string;
  /** Sends text or bytes as they are; nothing is added. */
  send(...parts: (string | Uint8Array)[]): void;
  /** A published message with a header block as it is given, well-formed or not. */
  publish(subject: string, reply: string, header: string, body: Uint8Array): void;
  /** Resolves when the server has handled what was sent before, or has closed the connection. */
  settled(): Promise<void>;
  /** Resolves with the heard text once it matches. */
  hears(what: RegExp, deadlineMs?: number): Promise<string>;
  close(): void;
}

/** Connects to `nats://host:port` without a credential. With `deaf`, nothing is read after the greeting: a slow consumer. */
export async function openWire(url: string, { deaf = false } = {}): Promise<Wire> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  let text = "";
  let answered = 0;
  socket.on("error", () => undefined);
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
    // Who leaves these unanswered for three seconds is dropped.
    for (const asked = text.split("PING\r\n").length - 1; answered < asked; answered++) socket.write("PONG\r\n");
  });
  await once(socket, "connect");
  let pings = 0;
  const pongs = () => text.split("PONG\r\n").length - 1;
  const wire: Wire = {
    socket,
    heard: () => text,
    send(...parts) {
      for (const part of parts) socket.write(part);
    },
    publish(subject, reply, header, body) {
      socket.write(`HPUB ${subject} ${reply} ${Buffer.byteLength(header)} ${Buffer.byteLength(header) + body.length}\r\n${header}`);
      socket.write(body);
      socket.write("\r\n");
    },
    async settled() {
      const wanted = ++pings;
      socket.write("PING\r\n");
      await until(() => pongs() >= wanted || socket.closed, "the server to answer", 10_000);
    },
    async hears(what, deadlineMs = 10_000) {
      await until(() => what.test(text), String(what), deadlineMs);
      return text;
    },
    close: () => socket.destroy(),
  };
  wire.send('CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"lang":"by hand","version":"0"}\r\n');
  await wire.settled();
  if (deaf) {
    socket.removeAllListeners("data");
    socket.pause();
  }
  return wire;
}
