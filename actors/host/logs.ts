/**
 * What functions write: cut into lines, tied to their call, bounded per line, call and second, and sent in batches.
 * Where something is dropped, one line of the platform says so.
 */
import { LOG_STREAM } from "../../protocol/frames.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { functionLogs } from "../../protocol/messages/logs.ts";
import { isName } from "../../protocol/names.ts";
import type { IncomingFrame } from "../instance/sandbox.ts";
import type { Bus } from "../kit/bus.ts";
import type { Clock, Timer } from "../kit/ports.ts";
import type { Call } from "./call.ts";
import type { Container } from "./container.ts";
import type { Counters } from "./counters.ts";
import type { Slot } from "./slot.ts";

interface Line {
  call: string;
  version: number;
  stream: "stdout" | "stderr" | "log" | "platform";
  text: string;
  at: number;
}

const decoder = new TextDecoder();

export class Logs {
  readonly #host: string;
  readonly #control: Bus;
  readonly #clock: Clock;
  readonly #counters: Counters;
  readonly #lines = new Map<string, { account: string; name: string; lines: Line[] }>();
  #timer: Timer | undefined = undefined;
  #second = 0;
  #bytes = 0;
  #told = false;

  constructor(ports: { host: string; control: Bus; clock: Clock; counters: Counters }) {
    this.#host = ports.host;
    this.#control = ports.control;
    this.#clock = ports.clock;
    this.#counters = ports.counters;
  }

  /** A `log` frame: any number of lines of the running or last call, or of none. */
  output(container: Container, frame: IncomingFrame): void {
    const { slot } = container;
    if (!slot) {
      this.#counters.add("logs.ofSpare");
      return;
    }
    const call = frame.id !== 0 && frame.id === container.number ? (container.call ?? container.last) : undefined;
    const stream = frame.flags === LOG_STREAM.stderr ? "stderr" : frame.flags === LOG_STREAM.log ? "log" : "stdout";
    let { payload } = frame;
    let cut = false;
    if (call) {
      const left = LIMITS.logPerCall.value - call.logBytes;
      call.logBytes += payload.length;
      if (payload.length > left) this.#counters.add("limit.logPerCall");
      if (left < 0) return this.#counters.add("logs.overCall");
      if (payload.length > left) {
        payload = payload.subarray(0, left);
        cut = true;
      }
    } else if (payload.length > LIMITS.logPerCall.value) {
      payload = payload.subarray(0, LIMITS.logPerCall.value);
      cut = true;
    }
    if (!this.#isWithinRate(slot, call, payload.length)) return this.#counters.add("logs.dropped");
    for (const text of decoder.decode(payload).split("\n")) if (text !== "") this.#add(slot, call, stream, text);
    if (cut) {
      this.#counters.add("logs.overCall");
      this.#add(slot, call, "platform", `further output of this call is dropped: it wrote more than ${LIMITS.logPerCall.value} bytes`);
    }
  }

  flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    for (const { account, name, lines } of this.#lines.values())
      this.#control.tell(functionLogs, [account, name], { host: this.#host, lines });
    this.#lines.clear();
  }

  #isWithinRate(slot: Slot, call: Call | undefined, bytes: number): boolean {
    const second = Math.floor(this.#clock.now() / 1_000);
    if (second !== this.#second) {
      this.#second = second;
      this.#bytes = 0;
      this.#told = false;
    }
    this.#bytes += bytes;
    if (this.#bytes <= LIMITS.logRate.value) return true;
    if (!this.#told)
      this.#add(slot, call, "platform", `output is dropped: the host's functions write more than ${LIMITS.logRate.value} bytes a second`);
    this.#told = true;
    return false;
  }

  #add(slot: Slot, call: Call | undefined, stream: Line["stream"], text: string): void {
    const name = isName(slot.function) ? slot.function : "inline";
    const key = `${slot.account}.${name}`;
    let kept = this.#lines.get(key);
    if (!kept) {
      kept = { account: slot.account, name, lines: [] };
      this.#lines.set(key, kept);
    }
    if (text.length > LIMITS.logLine.value) this.#counters.add("limit.logLine");
    kept.lines.push({
      call: call?.id ?? "",
      version: slot.version,
      stream,
      text: text.slice(0, LIMITS.logLine.value),
      at: this.#clock.epoch(),
    });
    this.#timer ??= this.#clock.after(LIMITS.recordsEvery.value, () => this.flush());
  }
}
