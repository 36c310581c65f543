/** One fake container: a program behind the two ends of a pretend socket. */
import type {
  ContainerLimits,
  ContainerListener,
  ContainerStats,
  EndCause,
  SandboxedContainer,
  StartOrder,
} from "../../actors/instance/sandbox.ts";
import type { Clock } from "../../actors/kit/ports.ts";
import {
  type ContextRequest,
  FRAME,
  type Frame,
  FrameReader,
  frameHead,
  LOG_STREAM,
  type LoadExtra,
  type Thrown,
} from "../../protocol/frames.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { FakeBadResult, type FakeContext, type FakeProgram } from "./program.ts";

const NOTHING = new Uint8Array(0);
const encoder = new TextEncoder();
const decoder = new TextDecoder();
const MiB = 1024 * 1024;

/** Bytes on their way in above which `send` says so. */
const HIGH_WATER = MiB;

/** What a blank process uses. */
const BLANK_BYTES = 8 * MiB;

export interface FakeContainerOf {
  readonly order: StartOrder;
  readonly bootMs: number;
  readonly runtimeVersion: string;
  readonly clock: Clock;
  programOf(code: string): FakeProgram | undefined;
  readFile(hostPath: string): string;
  gone(): void;
}

interface Waiting {
  readonly kind: ContextRequest["kind"];
  resolve(bytes: Uint8Array): void;
  reject(error: Error): void;
}

export class FakeContainer implements SandboxedContainer {
  readonly id: string;
  readonly instance: string;
  readonly bootMs: number;
  readonly runtimeVersion: string;
  /** What was set with `limit`; undefined while blank. */
  limits: ContainerLimits | undefined = undefined;
  /** Files that were delivered: path inside → path on the host. */
  readonly files = new Map<string, string>();
  /** Calls it was given. */
  calls = 0;
  readonly #of: FakeContainerOf;
  readonly #fromAgent: FrameReader;
  readonly #toAgent: FrameReader;
  #listener: ContainerListener | undefined = undefined;
  #load: LoadExtra | undefined = undefined;
  #program: FakeProgram | undefined = undefined;
  #ended: Promise<void> | undefined = undefined;
  #frozen: (() => void)[] | undefined = undefined;
  #requests = new Map<number, Waiting>();
  #nextRequest = 1;
  #memory = BLANK_BYTES;
  #peak = BLANK_BYTES;
  #cpuMs = 0;
  #printed = "";
  #running = false;
  readonly #behind: Frame[] = [];
  /** Bytes on their way in. */
  #waiting = 0;
  /** Who waits to hear that they are in, or never will be. */
  readonly #unwritten = new Set<() => void>();

  constructor(of: FakeContainerOf) {
    this.#of = of;
    this.id = of.order.container;
    this.instance = of.order.instance;
    this.bootMs = of.bootMs;
    this.runtimeVersion = of.runtimeVersion;
    this.#fromAgent = new FrameReader((frame) => this.#received(frame), LIMITS.frameExtra.value, LIMITS.framePayload.value);
    this.#toAgent = new FrameReader((frame) => this.#listener?.frame(frame), LIMITS.frameExtra.value, LIMITS.framePayload.value);
  }

  listen(listener: ContainerListener): void {
    this.#listener = listener;
  }

  send(type: number, flags: number, id: number, extra: Uint8Array, payload: Uint8Array, written?: () => void): boolean {
    const bytes = join(frameHead(type, flags, id, extra, payload.length), payload);
    if (this.#ended) written?.();
    else if (written !== undefined) this.#unwritten.add(written);
    this.#waiting += bytes.length;
    this.#later(() => {
      this.#waiting -= bytes.length;
      if (written !== undefined && this.#unwritten.delete(written)) written();
      this.#fromAgent.feed(bytes);
    });
    return this.#waiting <= HIGH_WATER;
  }

  limit(limits: ContainerLimits): void {
    this.limits = limits;
  }

  signal(what: "freeze" | "thaw"): void {
    if (what === "freeze") this.#frozen ??= [];
    else {
      const held = this.#frozen ?? [];
      this.#frozen = undefined;
      for (const action of held) this.#later(action);
    }
  }

  stats(): ContainerStats {
    return { memoryBytes: this.#memory, memoryPeakBytes: this.#peak, cpuMicroseconds: this.#cpuMs * 1_000, processes: this.#ended ? 0 : 1 };
  }

  async deliver(hostPath: string, name: string): Promise<string> {
    const inside = `/code/${name}`;
    this.files.set(inside, hostPath);
    return inside;
  }

  stop(): Promise<void> {
    return this.end({ kind: "stopped" });
  }

  /** Ends it for any cause; only the first one counts. */
  end(cause: EndCause): Promise<void> {
    this.#ended ??= new Promise((resolve) => {
      this.#of.gone();
      this.#of.clock.soon(() => {
        for (const written of this.#unwritten) written();
        this.#unwritten.clear();
        this.#listener?.ended(cause, this.#printed.slice(-4_096));
        resolve();
      });
    });
    return this.#ended;
  }

  /** The socket: what goes in comes out after the present burst, unless the container has ended or is frozen. */
  #later(action: () => void): void {
    this.#of.clock.soon(() => {
      if (this.#ended) return;
      if (this.#frozen) this.#frozen.push(action);
      else action();
    });
  }

  #say(type: number, flags: number, id: number, extra: Uint8Array, payload: Uint8Array): void {
    this.#write(join(frameHead(type, flags, id, extra, payload.length), payload));
  }

  /** What was written is in the socket: it arrives before the end is told, even if the process dies at once. */
  #write(bytes: Uint8Array): void {
    if (this.#ended) return;
    const deliver = (): void => {
      try {
        this.#toAgent.feed(bytes);
      } catch (error) {
        void this.end({ kind: "protocol", detail: error instanceof Error ? error.message : String(error) });
      }
    };
    this.#of.clock.soon(() => {
      if (this.#frozen && !this.#ended) this.#frozen.push(deliver);
      else deliver();
    });
  }

  #received(frame: Frame): void {
    if (frame.type === FRAME.load) this.#loadCode(frame);
    else if (frame.type === FRAME.call) this.#call(frame);
    else if (frame.type === FRAME.takeBack) this.#giveBack(frame.id);
    else if (frame.type === FRAME.answer) this.#answered(frame);
  }

  #loadCode(frame: Frame): void {
    const load = JSON.parse(decoder.decode(frame.extra)) as LoadExtra;
    const text =
      load.file === undefined
        ? decoder.decode(frame.payload.subarray(load.cachedBytes))
        : this.#of.readFile(this.files.get(load.file) ?? "");
    const program = this.#of.programOf(text);
    this.#load = load;
    const act = (): void => {
      if (program?.loadHangs) return;
      if (program?.loadExit !== undefined) void this.end({ kind: "exited", code: program.loadExit });
      else if (program === undefined || program.loadError) {
        this.#say(
          FRAME.loadFailed,
          0,
          0,
          json(program?.loadError ?? { type: "SyntaxError", message: `no program named "${text}"` }),
          NOTHING,
        );
      } else {
        this.#program = program;
        this.#say(
          FRAME.loaded,
          0,
          0,
          json({ loadMs: program.loadMs ?? 0 }),
          load.cachedBytes > 0 ? NOTHING : (program.cachedData ?? NOTHING),
        );
      }
    };
    if (program?.loadMs === undefined) act();
    else this.#of.clock.after(program.loadMs, () => this.#later(act));
  }

  /** One call runs at a time; others wait in order, and can be taken back until they begin. */
  #call(frame: Frame): void {
    if (this.#running) this.#behind.push(frame);
    else this.#run(frame);
  }

  #giveBack(id: number): void {
    const at = this.#behind.findIndex((frame) => frame.id === id);
    if (at < 0) return;
    this.#behind.splice(at, 1);
    this.#say(FRAME.givenBack, 0, id, NOTHING, NOTHING);
  }

  #next(): void {
    this.#running = false;
    const next = this.#behind.shift();
    if (next !== undefined && !this.#ended) this.#run(next);
  }

  #run(frame: Frame): void {
    this.#running = true;
    const program = this.#program;
    if (program === undefined || this.#load === undefined) return;
    this.calls++;
    const view = new DataView(frame.extra.buffer, frame.extra.byteOffset, frame.extra.length);
    const context = this.#context(this.#load, frame.id, view.getFloat64(0), decoder.decode(frame.extra.subarray(8)));
    Promise.resolve()
      .then(() => program.run(frame.payload, context))
      .then(
        (result) => this.#result(frame.id, result),
        (error: unknown) => this.#say(FRAME.failed, error instanceof FakeBadResult ? 1 : 0, frame.id, json(thrownOf(error)), NOTHING),
      )
      .then(
        () => this.#next(),
        () => this.#next(),
      );
  }

  #result(id: number, result: unknown): void {
    if (result instanceof Uint8Array) this.#say(FRAME.result, 0, id, NOTHING, result);
    else this.#say(FRAME.result, 1, id, NOTHING, result === undefined ? NOTHING : json(result));
  }

  #context(load: LoadExtra, call: number, deadline: number, callId: string): FakeContext {
    const ask = (what: ContextRequest, payload: Uint8Array = NOTHING): Promise<Uint8Array> => {
      const id = this.#nextRequest++;
      return new Promise((resolve, reject) => {
        this.#requests.set(id, { kind: what.kind, resolve, reject });
        this.#say(FRAME.request, 0, id, json(what), payload);
      });
    };
    return {
      callId,
      deadline,
      load,
      sleep: (ms) => new Promise((resolve) => void this.#of.clock.after(ms, () => resolve())),
      log: (text, stream = "stdout") => this.#say(FRAME.log, LOG_STREAM[stream], call, NOTHING, encoder.encode(text)),
      call: (name, payload) => ask({ kind: "call", call, function: name }, payload),
      publish: async (subject, payload) => void (await ask({ kind: "publish", call, subject }, payload)),
      kv: {
        get: (key) =>
          ask({ kind: "kv.get", call, key }).catch((error: Error) => {
            if (error.name === "NotFound") return undefined;
            throw error;
          }),
        put: async (key, value) => void (await ask({ kind: "kv.put", call, key }, value)),
        delete: async (key) => void (await ask({ kind: "kv.delete", call, key })),
      },
      useMemory: (mb) => this.#use(mb * MiB),
      useCpu: (ms) => {
        this.#cpuMs += ms;
      },
      print: (text) => {
        this.#printed = (this.#printed + text).slice(-8_192);
      },
      exit: (code) => void this.end({ kind: "exited", code }),
      die: (signal) => void this.end({ kind: "signalled", signal }),
      sendFrame: (type, flags, id, extra, payload) => this.#say(type, flags, id, extra, payload),
      sendBytes: (bytes) => this.#write(bytes),
    };
  }

  #use(bytes: number): void {
    this.#memory = bytes;
    this.#peak = Math.max(this.#peak, bytes);
    if (this.limits && bytes > this.limits.memoryMb * MiB) void this.end({ kind: "outOfMemory" });
  }

  #answered(frame: Frame): void {
    const waiting = this.#requests.get(frame.id);
    if (waiting === undefined) return;
    this.#requests.delete(frame.id);
    if (frame.flags !== 1) {
      waiting.resolve(frame.payload.slice());
      return;
    }
    const data = JSON.parse(decoder.decode(frame.payload)) as { name: string; message: string };
    const error = new Error(data.message);
    error.name = data.name;
    waiting.reject(error);
  }
}

function thrownOf(error: unknown): Thrown {
  if (!(error instanceof Error)) return { type: typeof error, message: String(error) };
  return { type: error.name, message: error.message, ...(error.stack !== undefined && { stack: error.stack }) };
}

function json(value: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(value));
}

function join(head: Uint8Array, payload: Uint8Array): Uint8Array {
  const whole = new Uint8Array(head.length + payload.length);
  whole.set(head);
  whole.set(payload, head.length);
  return whole;
}
