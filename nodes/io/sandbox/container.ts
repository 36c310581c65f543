/**
 * One container as it is handed out: frames, limits, signals, and exactly one end.
 *
 * I1  `ended` is told once, when nothing of the container is left; why is decided by the first of: it was stopped,
 *     it broke the protocol; then by its group's count of out-of-memory kills; then by how its process ended.
 */
import type { ContainerLimits, ContainerListener, ContainerStats, EndCause, SandboxedContainer } from "../../../actors/instance/sandbox.ts";
import { FRAME, type Frame } from "../../../protocol/frames.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import type { Body, Gone } from "./body.ts";
import type { Closed } from "./channel.ts";
import { alive } from "./process-table.ts";

/** Everything after `ready`; how a fork ends is its zygote's word. */
const SAYABLE: ReadonlySet<number> = new Set(Object.values(FRAME).filter((type) => type > FRAME.ready && type !== FRAME.forkEnded));
const NO_STATS: ContainerStats = { memoryBytes: 0, memoryPeakBytes: 0, cpuMicroseconds: 0, processes: 0 };
/** Frames held for a listener that comes a moment late. */
const HELD_FRAMES = 16;

export interface ContainerParts {
  readonly id: string;
  readonly instance: string;
  readonly bootMs: number;
  readonly runtimeVersion: string;
  readonly body: Body;
  readonly deliver: (hostPath: string, name: string) => Promise<string>;
  readonly complain: (message: string, error: unknown) => void;
}

export class Container implements SandboxedContainer {
  readonly id: string;
  readonly instance: string;
  readonly bootMs: number;
  readonly runtimeVersion: string;
  readonly #parts: ContainerParts;
  readonly #body: Body;
  readonly #over: Promise<void>;
  #listener: ContainerListener | undefined;
  #held: Frame[] = [];
  #cause: EndCause | undefined;
  /** It was killed because it lived on without a channel. */
  #deaf = false;
  #eof = false;
  #onEof: () => void = () => {};
  #end: { readonly cause: EndCause; readonly output: string } | undefined;
  #last: ContainerStats = NO_STATS;

  constructor(parts: ContainerParts) {
    this.id = parts.id;
    this.instance = parts.instance;
    this.bootMs = parts.bootMs;
    this.runtimeVersion = parts.runtimeVersion;
    this.#parts = parts;
    this.#body = parts.body;
    this.#body.onFrame = (frame) => this.#frame(frame);
    this.#body.onClosed = (why) => this.#closed(why);
    if (this.#body.closed !== undefined) this.#closed(this.#body.closed);
    this.#over = this.#body.gone.then(async (gone) => {
      await this.#read();
      this.#finish(gone);
    });
  }

  listen(listener: ContainerListener): void {
    this.#listener = listener;
    for (const frame of this.#held.splice(0)) this.#frame(frame);
    if (this.#end !== undefined) this.#tell(this.#end);
  }

  send(type: number, flags: number, id: number, extra: Uint8Array, payload: Uint8Array, written?: () => void): boolean {
    const { channel } = this.#body;
    if (channel !== undefined) return channel.send(type, flags, id, extra, payload, written);
    written?.();
    return false;
  }

  limit(limits: ContainerLimits): void {
    this.#onGroup(() => this.#body.handle?.limit(limits));
  }

  signal(what: "freeze" | "thaw"): void {
    this.#onGroup(() => (what === "freeze" ? this.#body.handle?.freeze() : this.#body.handle?.thaw()));
  }

  stats(): ContainerStats {
    this.#onGroup(() => {
      this.#last = this.#body.handle?.stats() ?? this.#last;
    });
    return this.#last;
  }

  deliver(hostPath: string, name: string): Promise<string> {
    return this.#parts.deliver(hostPath, name);
  }

  async stop(): Promise<void> {
    this.#cause ??= { kind: "stopped" };
    this.#body.kill();
    await this.#over;
  }

  // The group may vanish between two lines when its last process ends: that is no error of the caller.
  #onGroup(work: () => void): void {
    if (this.#body.over) return;
    try {
      work();
    } catch (error) {
      if (!this.#body.over) this.#parts.complain("a control group could not be used", error);
    }
  }

  #frame(frame: Frame): void {
    if (!SAYABLE.has(frame.type)) {
      this.#broken(`a frame of type ${frame.type}`);
      return;
    }
    if (this.#listener === undefined) {
      if (this.#held.length < HELD_FRAMES) this.#held.push({ ...frame, extra: frame.extra.slice(), payload: frame.payload.slice() });
      else this.#broken("frames before it was asked for anything");
      return;
    }
    try {
      this.#listener.frame(frame);
    } catch (error) {
      this.#parts.complain("a listener threw", error);
    }
  }

  #broken(detail: string): void {
    this.#cause ??= { kind: "protocol", detail };
    this.#body.channel?.destroy();
    this.#body.kill();
  }

  #closed(why: Closed): void {
    this.#eof = true;
    this.#onEof();
    if (why.kind === "broken") this.#broken(why.detail);
    else {
      // Its exit is reported in a moment and says more. One that lives on without a channel is of no use.
      const timer = setTimeout(() => {
        this.#deaf = this.#body.pid === undefined || alive(this.#body.pid);
        this.#body.kill();
      }, LIMITS.channelGrace.value);
      void this.#body.gone.then(() => clearTimeout(timer));
    }
  }

  /**
   * Resolves when all that the dead container wrote has been read, so that no result is overtaken by the news of its end: a call sent
   * ahead would run twice. Not for one that was stopped, whose words no longer count; bounded, since its socket may be paused.
   */
  #read(): Promise<void> {
    if (this.#cause !== undefined || this.#eof || this.#body.channel === undefined) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, LIMITS.channelGrace.value);
      this.#onEof = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #finish(gone: Gone): void {
    this.#end = { cause: this.#why(gone), output: gone.output };
    this.#tell(this.#end);
  }

  #why(gone: Gone): EndCause {
    if (this.#cause !== undefined) return this.#cause;
    if (gone.removed) return { kind: "stopped" };
    if (gone.lost) return { kind: "spawnerLost" };
    if (gone.oomKills > 0 && gone.code !== 0) return { kind: "outOfMemory" };
    // It may have ended by itself before it was killed for its silence; on a busy machine that is heard of late.
    if (this.#deaf && gone.signal === "SIGKILL") return { kind: "protocol", detail: "it closed its channel" };
    // Of a fork whose zygote was killed nobody is left to tell how it ended: with it.
    if (gone.code === null) return { kind: "signalled", signal: gone.signal ?? "SIGKILL" };
    return gone.signal === null ? { kind: "exited", code: gone.code } : { kind: "signalled", signal: gone.signal };
  }

  #tell(end: { readonly cause: EndCause; readonly output: string }): void {
    const listener = this.#listener;
    if (listener === undefined) return;
    this.#listener = { frame: () => {}, ended: () => {} };
    try {
      listener.ended(end.cause, end.output);
    } catch (error) {
      this.#parts.complain("a listener threw", error);
    }
  }
}
