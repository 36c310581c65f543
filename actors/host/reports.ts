/**
 * Tells whoever placed or owns calls what became of them, in batches, by their own numbers: what was taken at once, what is
 * done at once where a keeper placed it. To a keeper the announcement goes first, so that `taken` means: it shows it already.
 */
import { LIMITS } from "../../protocol/limits.ts";
import { callReport } from "../../protocol/messages/call.ts";
import type { Bus } from "../kit/bus.ts";
import type { Clock, Timer } from "../kit/ports.ts";
import type { Call } from "./call.ts";

/** Entries of each kind in one report, so that it is far below the broker's largest message; more go into a second one. */
const BATCH = 4_096;

class Batch {
  readonly taken: number[] = [];
  readonly done: number[] = [];
  readonly placedTaken: number[] = [];
  readonly placedDone: number[] = [];
  readonly long: { call: string; reply: string; account: string; function: string }[] = [];
  readonly longEnded: string[] = [];

  /** Drops the oldest of each kind above `limit`; returns how many. */
  cut(limit: number): number {
    let dropped = 0;
    for (const list of [this.taken, this.done, this.placedTaken, this.placedDone, this.long, this.longEnded]) {
      const over = Math.max(0, list.length - limit);
      list.splice(0, over);
      dropped += over;
    }
    return dropped;
  }

  /** What one report says at a time, oldest first; nothing is left in the batch then. */
  *reports(): Iterable<Report> {
    const lists = [this.taken, this.done, this.placedTaken, this.placedDone, this.long, this.longEnded];
    while (lists.some((list) => list.length > 0)) {
      const long = this.long.splice(0, BATCH);
      const longEnded = this.longEnded.splice(0, BATCH);
      yield {
        taken: this.taken.splice(0, BATCH),
        done: this.done.splice(0, BATCH),
        placedTaken: this.placedTaken.splice(0, BATCH),
        placedDone: this.placedDone.splice(0, BATCH),
        ...(long.length > 0 && { long }),
        ...(longEnded.length > 0 && { longEnded }),
      };
    }
  }
}

type Report = Omit<ReturnType<typeof callReport.body.parse>, "from" | "epoch">;

/** A direct call that a keeper speaks for, and which one was told. */
interface Spoken {
  readonly call: Call;
  readonly keeper: string;
}

export interface ReportsPorts {
  readonly host: string;
  readonly epoch: string;
  readonly control: Bus;
  readonly clock: Clock;
  /** The scheduler that keeps a call's function now; undefined while none is heard of. */
  keeperOf(call: Call): string | undefined;
  /** Sends what has changed, now. */
  announce(): void;
  /** True while answers are kept that could not be sent: nobody forgets a call before its caller has heard. */
  ownsAnswers(): boolean;
  /** True once others have declared this host lost: they have spoken for its calls, and may run them elsewhere under the same numbers. */
  isLost(): boolean;
  /** So many numbers were dropped, because nobody could be told for too long. */
  dropped(count: number): void;
}

export class Reports {
  readonly #ports: ReportsPorts;
  #batches = new Map<string, Batch>();
  /** Direct calls that their keepers speak for, by their ids. */
  readonly #long = new Map<string, Spoken>();
  /** Those of them that no keeper was sent yet. */
  readonly #unsent = new Set<Call>();
  #timer: Timer | undefined = undefined;
  #soon = false;

  constructor(ports: ReportsPorts) {
    this.#ports = ports;
  }

  taken(call: Call): void {
    this.#note(call, "taken", "placedTaken");
  }

  done(call: Call): void {
    if (call.head !== undefined) this.#note(call, "done", "placedDone");
    this.#silence(call);
  }

  /** A call that came directly and that its keeper should speak for from now on. */
  long(call: Call): void {
    const keeper = this.#ports.keeperOf(call) ?? call.grant?.keeper ?? call.placer?.node;
    if (keeper === undefined) return;
    this.#unsent.add(call);
    this.#speak({ call, keeper });
  }

  /** A direct call that left this host: its keeper need not speak for it any more. */
  left(call: Call): void {
    this.#silence(call);
    call.toldLong = false;
  }

  /** Calls of which a keeper was about to be told: it speaks for none of them. */
  get unsent(): Iterable<Call> {
    return this.#unsent;
  }

  /** Tells keepers again of the direct calls that run on: a report may have been lost, or its keeper, or there is another by now. */
  retell(): void {
    for (const spoken of this.#long.values()) {
      const keeper = this.#ports.keeperOf(spoken.call) ?? spoken.keeper;
      if (keeper !== spoken.keeper) this.#of(spoken.keeper).longEnded.push(spoken.call.id);
      this.#speak({ call: spoken.call, keeper });
    }
  }

  #speak(spoken: Spoken): void {
    const { call, keeper } = spoken;
    this.#long.set(call.id, spoken);
    const { account, function: name } = call.slot;
    this.#of(keeper).long.push({ call: call.id, reply: call.reply, account, function: name });
    this.#arm(false);
  }

  #silence(call: Call): void {
    const spoken = this.#long.get(call.id);
    if (spoken === undefined) return;
    this.#long.delete(call.id);
    this.#unsent.delete(call);
    this.#of(spoken.keeper).longEnded.push(call.id);
    this.#arm(false);
  }

  /** Sends everything now. */
  flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#soon = false;
    if (this.#ports.isLost()) this.#batches.clear();
    if (this.#batches.size === 0) return;
    if (!this.#ports.control.connected) {
      // What is told now is lost, and with it that calls were taken.
      this.#wait();
      return;
    }
    const batches = this.#batches;
    this.#batches = new Map();
    this.#unsent.clear();
    if (this.#ports.ownsAnswers()) this.#keepDone(batches);
    if ([...batches.values()].some((batch) => batch.placedTaken.length > 0 || batch.placedDone.length > 0)) this.#ports.announce();
    const { control, host: from, epoch } = this.#ports;
    for (const [node, batch] of batches) for (const report of batch.reports()) control.tell(callReport, [node], { from, epoch, ...report });
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** Leaves what is done for later. */
  #keepDone(batches: Map<string, Batch>): void {
    for (const [node, batch] of batches) {
      if (batch.done.length === 0 && batch.placedDone.length === 0) continue;
      const later = this.#of(node);
      later.done.push(...batch.done.splice(0));
      later.placedDone.push(...batch.placedDone.splice(0));
    }
    if (this.#batches.size > 0) this.#wait();
  }

  #wait(): void {
    for (const batch of this.#batches.values()) this.#ports.dropped(batch.cut(LIMITS.seenCalls.value));
    this.#arm(false);
  }

  #note(call: Call, own: "taken" | "done", placed: "placedTaken" | "placedDone"): void {
    const { head, placer } = call;
    // Who has no placer is this host's own.
    if (head === undefined || placer === undefined) return;
    const batch = this.#of(head.owner);
    batch[own].push(head.number);
    if (placer.node !== head.owner) this.#of(placer.node)[placed].push(placer.number);
    // Until it is told, the death of this host would have the call run again elsewhere.
    this.#arm(own === "taken" || head.place?.by === "keeper");
    if (batch[own].length >= BATCH && this.#ports.control.connected) this.flush();
  }

  #of(node: string): Batch {
    let batch = this.#batches.get(node);
    if (batch === undefined) {
      batch = new Batch();
      this.#batches.set(node, batch);
    }
    return batch;
  }

  #arm(atOnce: boolean): void {
    if (atOnce) {
      if (this.#soon) return;
      this.#soon = true;
      this.#ports.clock.soon(() => this.flush());
    } else {
      this.#timer ??= this.#ports.clock.after(LIMITS.announceEvery.value, () => this.flush());
    }
  }
}
