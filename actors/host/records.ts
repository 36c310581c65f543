/**
 * Records of finished calls: the last few thousand to be found by id, and batches for the call log. Traced and failed
 * calls are always kept (within the bound of a second), others up to the rest of it; what is dropped is counted.
 */
import { LIMITS } from "../../protocol/limits.ts";
import { callRecords } from "../../protocol/messages/call.ts";
import type { CallRecord } from "../../protocol/vocabulary.ts";
import type { Bus } from "../kit/bus.ts";
import type { Clock, Timer } from "../kit/ports.ts";
import type { Call } from "./call.ts";
import type { Counters } from "./counters.ts";

/** Records in one message. */
const BATCH = 500;

export class Records {
  readonly #host: string;
  readonly #control: Bus;
  readonly #clock: Clock;
  readonly #counters: Counters;
  readonly #ring: Call[] = [];
  #at = 0;
  #batch: CallRecord[] = [];
  #dropped = 0;
  #second = 0;
  #plain = 0;
  #special = 0;
  #timer: Timer | undefined = undefined;

  constructor(ports: { host: string; control: Bus; clock: Clock; counters: Counters }) {
    this.#host = ports.host;
    this.#control = ports.control;
    this.#clock = ports.clock;
    this.#counters = ports.counters;
  }

  ended(call: Call): void {
    this.#ring[this.#at] = call;
    this.#at = (this.#at + 1) % LIMITS.callsRemembered.value;
    const second = Math.floor(call.endedAt / 1_000);
    if (second !== this.#second) {
      this.#second = second;
      this.#plain = 0;
      this.#special = 0;
    }
    const isSpecial = call.trace || call.error !== undefined;
    if ((isSpecial ? this.#special++ : this.#plain++) >= LIMITS.callRecords.value) {
      this.#dropped++;
      this.#counters.add("records.dropped");
    } else this.#batch.push(call.toRecord(this.#host));
    if (this.#batch.length >= BATCH) this.flush();
    else this.#timer ??= this.#clock.after(LIMITS.recordsEvery.value, () => this.flush());
  }

  find(id: string): CallRecord | undefined {
    return this.#ring.find((call) => call.id === id)?.toRecord(this.#host);
  }

  flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#batch.length === 0 && this.#dropped === 0) return;
    const calls = this.#batch;
    const dropped = this.#dropped;
    this.#batch = [];
    this.#dropped = 0;
    this.#control.tell(callRecords, [this.#host], { calls, dropped });
  }
}
