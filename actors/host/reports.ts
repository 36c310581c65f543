/**
 * Tells whoever placed or owns calls what became of them, in batches, by their own numbers: what was taken at once, what is
 * done at once where a keeper placed it. To a keeper the announcement goes first, so that `taken` means: it shows it already.
 */
import { LIMITS } from "../../protocol/limits.ts";
import { callReport } from "../../protocol/messages/call.ts";
import type { Bus } from "../kit/bus.ts";
import type { Clock, Timer } from "../kit/ports.ts";
import type { Call } from "./call.ts";

/** Numbers in one report; more go into a second one. */
const BATCH = 4_096;

class Batch {
  readonly taken: number[] = [];
  readonly done: number[] = [];
  readonly placedTaken: number[] = [];
  readonly placedDone: number[] = [];
  readonly long: { call: string; reply: string }[] = [];
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
}

export interface ReportsPorts {
  readonly host: string;
  readonly epoch: string;
  readonly control: Bus;
  readonly clock: Clock;
  /** Sends what has changed, now. */
  announce(): void;
  /** True while answers are kept that could not be sent: nobody forgets a call before its caller has heard. */
  ownsAnswers(): boolean;
  /** So many numbers were dropped, because nobody could be told for too long. */
  dropped(count: number): void;
}

export class Reports {
  readonly #ports: ReportsPorts;
  #batches = new Map<string, Batch>();
  /** Direct calls that their keepers speak for, by their ids. */
  readonly #long = new Map<string, Call>();
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
    if (call.toldLong && call.grant !== undefined) {
      this.#long.delete(call.id);
      this.#of(call.grant.keeper).longEnded.push(call.id);
      this.#arm(false);
    }
  }

  /** A direct call that its keeper should speak for from now on. */
  long(call: Call): void {
    if (call.grant === undefined) return;
    this.#long.set(call.id, call);
    this.#of(call.grant.keeper).long.push({ call: call.id, reply: call.reply });
    this.#arm(false);
  }

  /** A direct call that left this host: its keeper need not speak for it any more. */
  left(call: Call): void {
    if (!call.toldLong || call.grant === undefined) return;
    call.toldLong = false;
    this.#long.delete(call.id);
    this.#of(call.grant.keeper).longEnded.push(call.id);
    this.#arm(false);
  }

  /** Tells keepers again of the direct calls that run on: an earlier report may have been lost. */
  retell(): void {
    for (const { id, reply, grant } of this.#long.values()) if (grant !== undefined) this.#of(grant.keeper).long.push({ call: id, reply });
    if (this.#long.size > 0) this.#arm(false);
  }

  /** Sends everything now. */
  flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#soon = false;
    if (this.#batches.size === 0) return;
    if (!this.#ports.control.connected) {
      // What is told now is lost, and with it that calls were taken.
      this.#wait();
      return;
    }
    const batches = this.#batches;
    this.#batches = new Map();
    if (this.#ports.ownsAnswers()) this.#keepDone(batches);
    if ([...batches.values()].some((batch) => batch.placedTaken.length > 0 || batch.placedDone.length > 0)) this.#ports.announce();
    for (const [node, batch] of batches) {
      const { long, longEnded, taken, done, placedTaken, placedDone } = batch;
      this.#ports.control.tell(callReport, [node], {
        from: this.#ports.host,
        epoch: this.#ports.epoch,
        taken,
        done,
        placedTaken,
        placedDone,
        ...(long.length > 0 && { long }),
        ...(longEnded.length > 0 && { longEnded }),
      });
    }
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
    if (head === undefined) return;
    const batch = this.#of(head.owner);
    batch[own].push(head.number);
    if (placer !== undefined && placer.node !== head.owner) this.#of(placer.node)[placed].push(placer.number);
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
