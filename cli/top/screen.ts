/**
 * A screen of lines that is drawn again and again: the terminal's second screen, so that what was there before comes back.
 *
 * S1  Whatever ends it, the terminal is as it was: cursor, mode, screen.
 * S2  It never draws beyond the terminal's present size.
 */
import type { Cli } from "../context.ts";

interface Keyboard {
  readonly isTTY?: boolean;
  setRawMode?(raw: boolean): unknown;
}

const ENTER = "\u001b[?1049h\u001b[?25l";
const LEAVE = "\u001b[?25h\u001b[?1049l";
const HOME = "\u001b[H";
const END_OF_LINE = "\u001b[K\r\n";
const REST = "\u001b[J";

/** Text for the whole screen; the last lines are left out where it is too small. */
export function frame(lines: readonly string[], columns: number, rows: number): string {
  const fitting = lines.length <= rows ? lines : [...lines.slice(0, Math.max(0, rows - 1)), `… ${lines.length - rows + 1} more lines`];
  const cut = fitting.slice(0, rows).map((text) => (text.length <= columns ? text : text.slice(0, Math.max(0, columns))));
  return `${HOME}${cut.join(END_OF_LINE)}\u001b[K${REST}`;
}

/** Draws what `next` gives, as often as it gives something, until the user presses q or Ctrl-C. `next` waits by itself. */
export async function showScreen(cli: Cli, next: (stop: AbortSignal) => Promise<readonly string[] | undefined>): Promise<void> {
  const stop = new AbortController();
  const end = (): void => stop.abort();
  if (cli.signal.aborted) return;
  cli.signal.addEventListener("abort", end, { once: true });
  const keyboard = cli.stdin as AsyncIterable<Uint8Array | string> & Keyboard;
  const hasKeys = keyboard.isTTY === true && keyboard.setRawMode !== undefined;
  if (hasKeys) keyboard.setRawMode?.(true);
  const keys = cli.stdin[Symbol.asyncIterator]();
  if (hasKeys) void listen(keys, end);
  cli.stdout.write(ENTER);
  try {
    while (!stop.signal.aborted) {
      const lines = await next(stop.signal);
      if (lines === undefined || stop.signal.aborted) break;
      cli.stdout.write(frame(lines, cli.stdout.columns ?? 80, cli.stdout.rows ?? 24));
    }
  } finally {
    cli.stdout.write(LEAVE);
    if (hasKeys) keyboard.setRawMode?.(false);
    cli.signal.removeEventListener("abort", end);
  }
}

/** Resolves after so many ms, or as soon as the signal fires. */
export function pause(ms: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(end, ms);
    function end(): void {
      clearTimeout(timer);
      stop.removeEventListener("abort", end);
      resolve();
    }
    if (stop.aborted) end();
    else stop.addEventListener("abort", end);
  });
}

/** In raw mode Ctrl-C is a key as any other. */
async function listen(keys: AsyncIterator<Uint8Array | string>, end: () => void): Promise<void> {
  for (;;) {
    const { done, value } = await keys.next();
    if (done === true) return;
    const text = typeof value === "string" ? value : new TextDecoder().decode(value);
    if (/[qQ\u0003\u0004]/.test(text)) return end();
  }
}
