/**
 * What a command gets from outside: its streams, its environment and the wish to stop. Nothing in cli/ touches
 * the process itself, so that every command can be run inside a test.
 */
import type { CommandContext } from "@stricli/core";

/** As much of a stream as commands need; process.stdout is one. */
export interface Output {
  write(chunk: string | Uint8Array, done?: () => void): unknown;
  on?(event: "error", listener: (error: Error) => void): unknown;
  /** False once it is closed. */
  readonly writable?: boolean;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  readonly rows?: number | undefined;
}

/** What `main` is given. */
export interface Streams {
  readonly stdin: AsyncIterable<Uint8Array | string>;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Fires when the user wants the command to end (Ctrl-C) or when nobody reads stdout any more. */
  readonly signal: AbortSignal;
}

/** The same inside a command, with stricli's view of it. */
export interface Cli extends Streams, CommandContext {
  /** The command line for a next step, as this user would type it. */
  readonly program: string;
  /** Set by a command that ends normally with a code other than 0. */
  exitCode: number;
}

/** Writes one line to stdout. */
export function line(cli: Cli, text = ""): void {
  cli.stdout.write(`${text}\n`);
}

/** Writes one line to stderr: progress, advice, what is not the answer. */
export function note(cli: Cli, text: string): void {
  cli.stderr.write(`${text}\n`);
}
