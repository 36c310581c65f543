/**
 * The entry of `pilot`. Exit codes: 0 success, 1 the function or the caller's request failed, 2 usage, 3 the platform failed.
 *
 * M1  A reader of stdout that goes away ends the command without an error.
 * M2  What was written is flushed before `main` resolves.
 */
import { ExitCode, run } from "@stricli/core";
import { application } from "./app.ts";
import type { Cli, Output, Streams } from "./context.ts";
import { EXIT, USAGE_ADVICE } from "./failure.ts";
import { presses } from "./press.ts";

/** Runs one command line (without `node` and the script) and resolves with its exit code. Never rejects. */
export async function main(argv: readonly string[], given: Partial<Streams> = {}): Promise<number> {
  const stop = new AbortController();
  const streams: Streams = {
    stdin: given.stdin ?? process.stdin,
    stdout: given.stdout ?? process.stdout,
    stderr: given.stderr ?? process.stderr,
    env: given.env ?? process.env,
    signal: given.signal === undefined ? stop.signal : AbortSignal.any([given.signal, stop.signal]),
  };
  let unread = false;
  onBrokenPipe(streams.stdout, () => {
    unread = true;
    stop.abort();
  });
  onBrokenPipe(streams.stderr, () => undefined);
  const release = given.signal === undefined ? onInterrupt(() => stop.abort()) : () => undefined;
  const code = await execute(argv, streams);
  await Promise.all([flushed(streams.stdout), flushed(streams.stderr)]);
  release();
  return unread ? EXIT.success : code;
}

async function execute(argv: readonly string[], streams: Streams): Promise<number> {
  const debug = streams.env["PILOT_DEBUG"] === "1";
  const terminal = {
    stdout: streams.stdout,
    stderr: streams.stderr,
    env: streams.env,
    exitCode: undefined as number | string | null | undefined,
  };
  const cli: Cli = {
    ...streams,
    process: terminal,
    program: streams.env["npm_command"] === "exec" ? "npx pilot" : "pilot",
    exitCode: EXIT.success,
  };
  await run(application(debug), argv, cli);
  const ended = Number(terminal.exitCode ?? 0);
  const code = exitCode(ended);
  // The grammar was broken, perhaps in several places, each with a line of its own.
  if (ended < 0 && code === EXIT.usage) streams.stderr.write(`${USAGE_ADVICE}\n`);
  return code || cli.exitCode;
}

/** Stricli's own codes are negative: a wrong command line, or something that cannot happen to a sound build. */
function exitCode(code: number): number {
  if (code >= 0) return code;
  return code === ExitCode.UnknownCommand || code === ExitCode.InvalidArgument ? EXIT.usage : EXIT.platform;
}

/** The listener is never taken off: a late EPIPE after the last write must not become an uncaught error. */
function onBrokenPipe(stream: Output, closed: () => void): void {
  stream.on?.("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE" && error.code !== "ERR_STREAM_DESTROYED") throw error;
    closed();
  });
}

/** The first Ctrl-C or SIGTERM asks the command to end; a second one ends the process at once, as the signal would. */
function onInterrupt(stop: () => void): () => void {
  const release = (): void => void process.off("SIGINT", listener).off("SIGTERM", listener);
  const press = presses();
  const listener = (signal: NodeJS.Signals): void => {
    const which = press();
    if (which === "first") return stop();
    if (which === "same") return;
    release();
    process.kill(process.pid, signal);
  };
  process.on("SIGINT", listener).on("SIGTERM", listener);
  return release;
}

function flushed(stream: Output): Promise<void> {
  return new Promise((resolve) => {
    if (stream.writable === false) return resolve();
    stream.write("", () => resolve());
  });
}
