/**
 * The zygote of one instance: a booted Python whose forks are the containers. Each fork dials a socket that exists in
 * this instance only and shows the token it was given; how it ends is told by the zygote.
 */
import { randomBytes } from "node:crypto";
import type { Server, Socket } from "node:net";
import { Fault } from "../../../protocol/errors.ts";
import { type ForkEnd, FRAME, type Frame } from "../../../protocol/frames.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import type { Box, Fork } from "./body.ts";
import { Channel } from "./channel.ts";
import { listen } from "./door.ts";
import { type Ready, readReady } from "./ready.ts";
import { signalName } from "./signals.ts";

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
  /** Forks that were ordered and are not over, by their number. */
  readonly #forks = new Map<number, Fork>();
  #server: Server | undefined;
  #ordered = 0;
  #over = false;

  /** `socketInside`: where its forks find the socket. */
  constructor(box: Box, socketInside: string) {
    this.box = box;
    this.#socketInside = socketInside;
    box.onFrame = (frame) => this.#heard(frame);
    box.onClosed = () => this.#lost();
    if (box.closed !== undefined) this.#lost();
  }

  /** True once its channel is closed: it forks no more, and its box is gone soon. */
  get over(): boolean {
    return this.#over;
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
        void fork.gone.then(({ signal, code }) => fail(`ended before it was ready (${signal ?? `exit ${code}`})`));
        this.#expected.set(token, { fork, arrived });
        const extra = Buffer.from(JSON.stringify({ socket: this.#socketInside, token }));
        const number = ++this.#ordered;
        this.#forks.set(number, fork);
        void fork.gone.then(() => this.#forks.delete(number));
        this.box.channel?.send(FRAME.fork, 0, number, extra, EMPTY);
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

  /** A zygote says one thing only. What it says is as hostile as the functions in its forks may make it. */
  #heard(frame: Frame): void {
    const fork = frame.type === FRAME.forkEnded ? this.#forks.get(frame.id) : undefined;
    const end = readEnd(frame);
    if (fork === undefined || end === undefined) return;
    this.#forks.delete(frame.id);
    fork.ended(end.code, end.signal === null ? null : (signalName(end.signal) ?? `${end.signal}`));
  }

  /** Its forks cannot outlive it: they share its namespace of processes. */
  #lost(): void {
    this.#over = true;
    this.box.kill();
    for (const fork of this.#forks.values()) fork.ended(null, "SIGKILL");
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

function readEnd(frame: Frame): ForkEnd | undefined {
  try {
    const { code, signal } = JSON.parse(Buffer.from(frame.extra).toString("utf8")) as Record<string, unknown>;
    return { code: whole(code), signal: whole(signal) };
  } catch {
    return undefined;
  }
}

const whole = (value: unknown): number | null => (Number.isSafeInteger(value) ? (value as number) : null);
