/**
 * The processes of one container (or zygote) as the agent sees them: how to kill them, and word that they are gone.
 * Two kinds: a box, which is started and reported by the spawner, and a fork inside a zygote's box.
 */
import type { Socket } from "node:net";
import type { Fault } from "../../../protocol/errors.ts";
import type { Frame } from "../../../protocol/frames.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { Channel, type Closed } from "./channel.ts";
import type { GroupHandle, GroupName } from "./groups.ts";

/** How it ended. `lost`: with its spawner. */
export interface Gone {
  readonly code: number | null;
  readonly signal: string | null;
  readonly oomKills: number;
  readonly output: string;
  readonly lost: boolean;
  /** Its instance was removed. */
  readonly removed: boolean;
  readonly error?: string;
}

const NO_TRACE: Gone = { code: null, signal: null, oomKills: 0, output: "", lost: false, removed: false };

export abstract class Body {
  readonly id: string;
  readonly group: GroupName;
  readonly gone: Promise<Gone>;
  /** Of its first process, once that is known. */
  pid: number | undefined;
  handle: GroupHandle | undefined;
  channel: Channel | undefined;
  /** Set once somebody wants its frames; before, they are dropped. */
  onFrame: (frame: Frame) => void = () => {};
  onClosed: (why: Closed) => void = () => {};
  #settle: (gone: Gone) => void = () => {};
  #settled = false;
  #lost = false;
  #removed = false;
  #closed: Closed | undefined;

  constructor(id: string, group: GroupName) {
    this.id = id;
    this.group = group;
    this.gone = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  get over(): boolean {
    return this.#settled;
  }

  /** Set when the channel closed before anybody listened for it. */
  get closed(): Closed | undefined {
    return this.#closed;
  }

  attach(socket: Socket, first?: Uint8Array): void {
    this.channel = new Channel(
      socket,
      first,
      (frame) => this.onFrame(frame),
      (why) => this.channelClosed(why),
    );
  }

  channelClosed(why: Closed): void {
    this.#closed = why;
    this.onClosed(why);
  }

  /** Kills every process of it at once; `gone` follows. Safe at any moment. */
  kill(): void {
    if (this.#settled) return;
    try {
      this.handle?.kill();
    } catch {
      // its group is being removed already
    }
    this.finishKill();
  }

  /** Has the spawner see to it that nothing is left. */
  protected abstract finishKill(): void;

  /** Its instance goes, and it with it. */
  remove(): void {
    this.#removed = true;
    this.kill();
  }

  /** Its spawner died: whoever reports the end first, this is why. */
  lose(): void {
    this.#lost = true;
    this.kill();
  }

  /** Everything is gone; the first word counts. */
  settle(gone: Partial<Gone>): void {
    if (this.#settled) return;
    this.#settled = true;
    this.channel?.destroy();
    this.handle?.close();
    this.handle = undefined;
    this.#settle({ ...NO_TRACE, ...gone, lost: this.#lost, removed: this.#removed });
  }
}

/** A body whose first process is known to the agent's spawner. */
export class Box extends Body {
  readonly #backUp: () => void;
  onBorn: () => void = () => {};

  /** `backUp` asks the spawner to finish the kill. */
  constructor(id: string, group: GroupName, backUp: () => void) {
    super(id, group);
    this.#backUp = backUp;
  }

  born(pid: number): void {
    this.pid = pid;
    this.onBorn();
  }

  protected finishKill(): void {
    this.#backUp();
  }
}

/** A fork: its zygote tells how its process ended, the agent kills what is left of its group, the spawner empties and removes it. */
export class Fork extends Body {
  readonly #clear: (fork: Fork) => Promise<Partial<Gone>>;
  #clearing = false;
  #end: Pick<Gone, "code" | "signal"> | undefined;

  constructor(id: string, group: GroupName, clear: (fork: Fork) => Promise<Partial<Gone>>) {
    super(id, group);
    this.#clear = clear;
  }

  /** Its process is over: the container is, as soon as its last words are read. */
  ended(code: number | null, signal: string | null): void {
    if (this.#end !== undefined) return;
    this.#end = { code, signal };
    if (this.closed !== undefined || this.channel === undefined) this.kill();
    // A process that it left behind may hold its channel open.
    else setTimeout(() => this.kill(), LIMITS.lastOutput.value);
  }

  override channelClosed(why: Closed): void {
    super.channelClosed(why);
    if (this.#end !== undefined) this.kill();
  }

  protected finishKill(): void {
    if (this.#clearing) return;
    this.#clearing = true;
    // A refusal means that the spawner is lost: whoever replaces it settles this body.
    this.#clear(this).then(
      (gone) => this.settle({ ...gone, ...this.#end }),
      (_fault: Fault) => {
        this.#clearing = false;
      },
    );
  }
}
