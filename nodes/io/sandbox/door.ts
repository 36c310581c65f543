/**
 * A private Unix socket on which connections announce who they are: u8 length, then a name.
 * The agent's own door is dialled by its spawner, once per box. Whoever is not expected is shown out.
 */
import { chmodSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";

/** Longest path that a Unix socket address holds everywhere. */
const LONGEST_PATH = 103;

/** Listens at a path. Throws BootFailed when the path is too long for a socket. */
export async function listen(path: string, mode: number, visitor: (socket: Socket) => void): Promise<Server> {
  if (Buffer.byteLength(path) > LONGEST_PATH)
    throw new Fault("BootFailed", `The path ${path} is too long for a socket. Choose a shorter run directory.`);
  const server = createServer(visitor);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
  chmodSync(path, mode);
  server.on("error", () => {});
  return server;
}

export class Door {
  readonly #expected = new Map<string, (socket: Socket, rest: Uint8Array) => void>();
  #server: Server | undefined;

  async open(path: string): Promise<void> {
    this.#server = await listen(path, 0o600, (socket) => this.#welcome(socket));
  }

  expect(id: string, arrived: (socket: Socket, rest: Uint8Array) => void): void {
    this.#expected.set(id, arrived);
  }

  forget(id: string): void {
    this.#expected.delete(id);
  }

  close(): void {
    this.#server?.close();
  }

  #welcome(socket: Socket): void {
    const timer = setTimeout(() => socket.destroy(), LIMITS.boot.value);
    let held = Buffer.alloc(0);
    const onError = (): void => {};
    const onClose = (): void => clearTimeout(timer);
    const onData = (chunk: Buffer): void => {
      held = Buffer.concat([held, chunk]);
      const length = held[0] ?? 0;
      if (held.length < 1 + length) return;
      clearTimeout(timer);
      socket.off("data", onData).off("close", onClose);
      const id = held.toString("latin1", 1, 1 + length);
      const arrived = this.#expected.get(id);
      this.#expected.delete(id);
      if (arrived === undefined) socket.destroy();
      else {
        arrived(socket, held.subarray(1 + length));
        socket.off("error", onError);
      }
    };
    socket.on("error", onError).on("close", onClose).on("data", onData);
  }
}
