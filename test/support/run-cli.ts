/** One command line run inside the test, with its streams caught. */
import { main } from "../../cli/main.ts";

export interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** stdout as bytes, for replies that are no text. */
  readonly bytes: Uint8Array;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly stdin?: readonly (string | Uint8Array)[];
  readonly signal?: AbortSignal;
  /** Told of each piece of stdout as it comes. */
  readonly onStdout?: (text: string) => void;
}

/** `pilot` with these words. The environment is empty unless given. */
export async function runCli(words: readonly string[], options: RunOptions = {}): Promise<Run> {
  const out: Uint8Array[] = [];
  const err: Uint8Array[] = [];
  const into = (parts: Uint8Array[], told?: (text: string) => void) => ({
    write(chunk: string | Uint8Array, done?: () => void): void {
      const bytes = typeof chunk === "string" ? Buffer.from(chunk) : Buffer.from(chunk);
      parts.push(bytes);
      if (bytes.length > 0) told?.(bytes.toString());
      done?.();
    },
  });
  const stdin = (async function* () {
    yield* options.stdin ?? [];
  })();
  const code = await main(words, {
    stdin,
    stdout: into(out, options.onStdout),
    stderr: into(err),
    env: options.env ?? {},
    signal: options.signal ?? new AbortController().signal,
  });
  const bytes = Buffer.concat(out);
  return { code, bytes, stdout: bytes.toString(), stderr: Buffer.concat(err).toString() };
}
