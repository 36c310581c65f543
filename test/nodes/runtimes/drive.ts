/** Drives a runtime's bootstrap as a plain child process over a Unix socket as fd 3: no sandbox, no agent. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import type { ExecutionContext } from "ava";
import { strToU8, zipSync } from "fflate";
import { FRAME, type Frame, FrameReader, frameHead, type LoadExtra, type Thrown } from "../../../protocol/frames.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { projectRoot } from "../../support/project-root.ts";

export const NOTHING = new Uint8Array(0);
const PATIENCE_MS = 30_000;

export const PYTHON = existsSync("/usr/bin/python3") ? "/usr/bin/python3" : "python3";

export type Language = "node" | "python";

const COMMANDS: Record<Language | "zygote", readonly string[]> = {
  node: [process.execPath, path.join(projectRoot(), "runtimes/node/bootstrap.cjs")],
  python: [PYTHON, "-I", "-B", path.join(projectRoot(), "runtimes/python/bootstrap.py")],
  zygote: [PYTHON, "-I", "-B", path.join(projectRoot(), "runtimes/python/bootstrap.py"), "--zygote"],
};

/** One end of a channel: sends frames, keeps those that arrive, and waits for the ones a test asks for. */
export class Peer {
  readonly frames: Frame[] = [];
  readonly #socket: net.Socket;
  #waiting: (() => void)[] = [];
  #closed = false;

  constructor(socket: net.Socket) {
    this.#socket = socket;
    const reader = new FrameReader(
      (frame) => this.frames.push({ ...frame, extra: frame.extra.slice(), payload: frame.payload.slice() }),
      LIMITS.frameExtra.value,
      LIMITS.framePayload.value,
    );
    socket.on("data", (chunk) => {
      reader.feed(chunk);
      this.#wake();
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.#closed = true;
      this.#wake();
    });
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  write(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  send(type: number, flags: number, id: number, extra: Uint8Array, payload: Uint8Array): void {
    this.write(frameHead(type, flags, id, extra, payload.length));
    if (payload.length > 0) this.write(payload);
  }

  /** The first frame that fits, now or later; rejects when the channel closes first or after half a minute. */
  async frame(fits: (frame: Frame) => boolean): Promise<Frame> {
    const until = Date.now() + PATIENCE_MS;
    for (;;) {
      const found = this.frames.find(fits);
      if (found) return found;
      if (this.#closed) throw new Error(`the channel closed after frames ${this.frames.map((frame) => frame.type).join(" ")}`);
      const rest = until - Date.now();
      if (rest <= 0) throw new Error("no such frame came");
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, rest);
        this.#waiting.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  load(code: Uint8Array, more: Partial<LoadExtra> = {}): void {
    const extra: LoadExtra = {
      account: "main",
      function: "f",
      version: 7,
      memoryMb: 128,
      handler: "handler",
      environment: {},
      cachedBytes: 0,
      ...more,
    };
    this.send(FRAME.load, 0, 0, strToU8(JSON.stringify(extra)), code);
  }

  call(id: number, body: Uint8Array, deadline = Date.now() + 60_000): void {
    this.send(FRAME.call, 0, id, callExtra(id, deadline), body);
  }

  /** `result` or `failed` of a call. */
  async end(id: number): Promise<Frame> {
    return this.frame((frame) => (frame.type === FRAME.result || frame.type === FRAME.failed) && frame.id === id);
  }

  /** Calls with a JSON body and returns the parsed JSON result; throws the type and message of a failure. */
  async invoke(id: number, event: unknown): Promise<unknown> {
    this.call(id, strToU8(JSON.stringify(event)));
    const end = await this.end(id);
    if (end.type === FRAME.failed) throw new Error(`${thrown(end).type}: ${thrown(end).message}`);
    return json(end.payload);
  }

  logs(call: number, stream?: number): string {
    const logs = this.frames.filter(
      (frame) => frame.type === FRAME.log && frame.id === call && (stream === undefined || frame.flags === stream),
    );
    return logs.map((frame) => text(frame.payload)).join("");
  }

  close(): void {
    this.#socket.destroy();
  }
}

export interface Driven extends Peer {
  readonly child: ChildProcess;
  readonly exited: Promise<{ code: number | null; signal: string | null }>;
}

function callExtra(id: number, deadline: number): Uint8Array {
  const name = `call-${id}`;
  const extra = new Uint8Array(8 + name.length);
  new DataView(extra.buffer).setFloat64(0, deadline);
  extra.set(strToU8(name), 8);
  return extra;
}

/** A listening Unix socket in a folder of its own, gone with the test. */
export async function listen(t: ExecutionContext): Promise<{ path: string; accepted: (count: number) => Promise<Peer> }> {
  const folder = mkdtempSync(path.join(tmpdir(), "runtime-"));
  const place = path.join(folder, "s");
  const peers: Peer[] = [];
  let wake: (() => void) | undefined;
  const server = net.createServer((socket) => {
    peers.push(new Peer(socket));
    wake?.();
  });
  await new Promise<void>((resolve) => server.listen(place, resolve));
  t.teardown(() => {
    for (const peer of peers) peer.close();
    server.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const accepted = async (count: number): Promise<Peer> => {
    for (;;) {
      const peer = peers[count];
      if (peer) return peer;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  return { path: place, accepted };
}

/** Starts a bootstrap; it is killed when the test ends. */
export async function start(t: ExecutionContext, what: Language | "zygote"): Promise<Driven> {
  const server = await listen(t);
  const socket = net.connect(server.path);
  await new Promise<void>((resolve) => socket.once("connect", resolve));
  const [command = "", ...args] = COMMANDS[what];
  const child = spawn(command, args, { stdio: ["ignore", "ignore", "ignore", socket], env: { PATH: "/usr/bin:/bin", LEAKED: "yes" } });
  const exited = new Promise<{ code: number | null; signal: string | null }>((resolve) =>
    child.on("exit", (code, signal) => resolve({ code, signal })),
  );
  t.teardown(async () => {
    child.kill("SIGKILL");
    await exited;
  });
  const peer = await server.accepted(0);
  socket.destroy();
  return Object.assign(peer, { child, exited });
}

/** Starts a bootstrap and loads source: CommonJS for Node, a zip with main.py for Python. */
export async function loaded(t: ExecutionContext, language: Language, source: string, more: Partial<LoadExtra> = {}): Promise<Driven> {
  const peer = await start(t, language);
  peer.load(bundle(language, source), more);
  await peer.frame((frame) => frame.type === FRAME.loaded);
  return peer;
}

export function bundle(language: Language, source: string): Uint8Array {
  return language === "node" ? strToU8(source) : archive({ "main.py": source });
}

/** A Python bundle whose main module is main. */
export function archive(files: Record<string, string | Uint8Array>): Uint8Array {
  const bytes = Object.fromEntries(
    Object.entries(files).map(([name, content]) => [name, typeof content === "string" ? strToU8(content) : content]),
  );
  return zipSync({ ...bytes, "pilot.json": strToU8('{"main":"main"}') });
}

export function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

export function json(bytes: Uint8Array): unknown {
  return JSON.parse(text(bytes));
}

export function thrown(frame: Frame): Thrown {
  return json(frame.extra) as Thrown;
}
