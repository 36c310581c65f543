/**
 * The zygote of one instance: a booted Python whose forks are the containers. Each fork dials a socket that exists in
 * this instance only and shows the token it was given.
 */
import { randomBytes } from "node:crypto";
import type { Server, Socket } from "node:net";
import { Fault } from "../../../protocol/errors.ts";
import { FRAME } from "../../../protocol/frames.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import type { Box, Fork } from "./body.ts";
import { Channel } from "./channel.ts";
import { listen } from "./door.ts";
import { type Ready, readReady } from "./ready.ts";

const EMPTY = new Uint8Array(0);
/** Connections without a token that are borne beside those of expected forks. */
const SPARE_STRANGERS = 16;

interface Expected {
  readonly fork: Fork;
  readonly arrived: (ready: Ready) => void;
}

export class Zygote {
  readonly box: Box;
  readonly #socketInside: string;
  readonly #expected = new Map<string, Expected>();
  readonly #strangers = new Set<Socket>();
  #server: Server | undefined;
  #forks = 0;

  /** `socketInside`: where its forks find the socket. */
  constructor(box: Box, socketInside: string) {
    this.box = box;
    this.#socketInside = socketInside;
  }

  /** Opens the socket for its forks. */
  async open(path: string): Promise<void> {
    // Whoever can reach the path (this instance, by its mount or by its directory's rights) may dial; the token decides.
    this.#server = await listen(path, 0o666, (socket) => this.#welcome(socket));
  }

  /** Orders one fork and resolves when it has dialled and shown its token. Rejects with BootFailed. */
  async fork(fork: Fork): Promise<Ready> {
    const token = randomBytes(16).toString("hex");
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<Ready>((arrived, reject) => {
        const fail = (what: string): void => reject(new Fault("BootFailed", `The fork ${what}.`));
        timer = setTimeout(() => fail(`was not ready after ${LIMITS.boot.value} ms`), LIMITS.boot.value);
        void this.box.gone.then(({ output }) => fail(`lost its zygote${output === "" ? "" : `. Last output: ${output}`}`));
        this.#expected.set(token, { fork, arrived });
        const extra = Buffer.from(JSON.stringify({ socket: this.#socketInside, token }));
        this.#forks += 1;
        this.box.channel?.send(FRAME.fork, 0, this.#forks, extra, EMPTY);
      });
    } finally {
      clearTimeout(timer);
      this.#expected.delete(token);
    }
  }

  close(): void {
    this.#server?.close();
    for (const socket of this.#strangers) socket.destroy();
  }

  #welcome(socket: Socket): void {
    // Nobody is expected, or too many are at the door: whoever it is, it is not one of ours.
    if (this.#expected.size === 0 || this.#strangers.size >= this.#expected.size + SPARE_STRANGERS) {
      socket.destroy();
      return;
    }
    this.#strangers.add(socket);
    const timer = setTimeout(() => socket.destroy(), LIMITS.boot.value);
    const known = (): void => {
      clearTimeout(timer);
      this.#strangers.delete(socket);
    };
    let fork: Fork | undefined;
    const channel = new Channel(
      socket,
      undefined,
      (frame) => {
        if (fork !== undefined) {
          fork.onFrame(frame);
          return;
        }
        known();
        const ready = readReady(frame);
        const expected = ready && this.#expected.get(ready.token);
        if (ready === undefined || expected === undefined) {
          channel.destroy();
          return;
        }
        this.#expected.delete(ready.token);
        fork = expected.fork;
        fork.channel = channel;
        expected.arrived(ready);
      },
      (why) => {
        known();
        fork?.channelClosed(why);
      },
    );
  }
}
