/** The words after `npm start --`. */
import { parseArgs } from "node:util";

export interface StartOptions {
  /** Undefined: the default store, or a fresh one that is removed with `once` and when another process has the default one. */
  readonly store: string | undefined;
  readonly port: number;
  /** Ends after the tour instead of staying until Ctrl-C. */
  readonly once: boolean;
}

export const START_USAGE = `npm start -- [--store DIR] [--port N] [--once]
  --store DIR   where functions, code and credentials are kept; default: one per user
  --port N      port of the broker; default: a free one
  --once        stop after the tour; without --store in a fresh store that is removed`;

/** The options, `help`, or a sentence on what is wrong. */
export function readStartOptions(words: readonly string[]): StartOptions | { readonly help: true } | { readonly wrong: string } {
  try {
    const { values } = parseArgs({
      args: [...words],
      options: {
        store: { type: "string" },
        port: { type: "string" },
        once: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    });
    if (values.help === true) return { help: true };
    const port = values.port ?? "0";
    if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) return { wrong: `--port ${port} is no port` };
    if (values.store === "") return { wrong: "--store needs a directory" };
    return { store: values.store, port: Number(port), once: values.once === true };
  } catch (error) {
    return { wrong: error instanceof Error ? error.message : String(error) };
  }
}
