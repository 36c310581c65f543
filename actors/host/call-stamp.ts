/**
 * Call ids without a string: a call keeps two numbers, its `call` frame gets the id written as bytes, and the text is
 * made only when somebody asks. The result is what protocol/call-id.ts makes.
 */
const TIME_DIGITS = 9;

export class CallStamp {
  readonly #run: string;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #countAt: number;
  #count = 0;
  #ms = -1;

  /** `run`: a random word that no other run of any node shares. */
  constructor(run: string) {
    this.#run = run;
    this.#countAt = 8 + TIME_DIGITS + run.length;
    this.#bytes = new Uint8Array(this.#countAt + 12);
    this.#view = new DataView(this.#bytes.buffer);
    writeAscii(this.#bytes, 8 + TIME_DIGITS, run);
  }

  next(): number {
    return this.#count++;
  }

  /** The extra part of a `call` frame: deadline, then the id. Valid until the next call of `extra`. */
  extra(deadline: number, epochMs: number, count: number): Uint8Array {
    this.#view.setFloat64(0, deadline);
    const ms = Math.floor(epochMs);
    if (ms !== this.#ms) {
      this.#ms = ms;
      writeAscii(this.#bytes, 8, timeText(ms));
    }
    let digits = 1;
    for (let rest = Math.floor(count / 36); rest > 0; rest = Math.floor(rest / 36)) digits++;
    let rest = count;
    for (let at = this.#countAt + digits - 1; at >= this.#countAt; at--) {
      const digit = rest % 36;
      this.#bytes[at] = digit < 10 ? 48 + digit : 87 + digit;
      rest = Math.floor(rest / 36);
    }
    return this.#bytes.subarray(0, this.#countAt + digits);
  }

  text(epochMs: number, count: number): string {
    return `${timeText(Math.floor(epochMs))}${this.#run}${count.toString(36)}`;
  }
}

/** The extra part of a `call` frame for a call that came with an id. */
export function extraOf(deadline: number, id: string): Uint8Array {
  const bytes = new Uint8Array(8 + id.length);
  new DataView(bytes.buffer).setFloat64(0, deadline);
  writeAscii(bytes, 8, id);
  return bytes;
}

function timeText(ms: number): string {
  return ms.toString(36).padStart(TIME_DIGITS, "0");
}

function writeAscii(bytes: Uint8Array, at: number, text: string): void {
  for (let index = 0; index < text.length; index++) bytes[at + index] = text.charCodeAt(index);
}
