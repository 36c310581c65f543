/**
 * The end of an endless text: keeps the last few KiB of a stream, reads it at a bounded rate, so that a flood costs
 * its writer time and nobody else memory or cpu.
 */
import type { Readable } from "node:stream";
import { LIMITS } from "../../../protocol/limits.ts";

const WINDOW_MS = 100;

export class Tail {
  #kept = Buffer.alloc(0);
  #window = 0;
  #timer: NodeJS.Timeout | undefined;

  /** Reads a stream until its end; several streams may share a tail. */
  follow(stream: Readable): void {
    stream.on("error", () => {});
    stream.on("data", (chunk: Buffer) => {
      this.#keep(chunk);
      this.#window += chunk.length;
      if (this.#window < (LIMITS.outputRate.value * WINDOW_MS) / 1000) return;
      stream.pause();
      this.#timer = setTimeout(() => {
        this.#window = 0;
        stream.resume();
      }, WINDOW_MS);
    });
  }

  text(): string {
    return this.#kept.toString("utf8");
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  #keep(chunk: Buffer): void {
    const limit = LIMITS.outputTail.value;
    if (chunk.length >= limit) this.#kept = Buffer.from(chunk.subarray(chunk.length - limit));
    else this.#kept = Buffer.concat([this.#kept.subarray(Math.max(0, this.#kept.length + chunk.length - limit)), chunk]);
  }
}
