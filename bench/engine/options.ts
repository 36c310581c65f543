/** The command line of the benchmarks. */
import { parseArgs } from "node:util";

export interface Options {
  readonly names: readonly string[];
  readonly json: boolean;
  readonly quick: boolean;
  readonly write: boolean;
  readonly gate: boolean;
  readonly help: boolean;
  readonly list: boolean;
  readonly rounds: number | undefined;
  readonly ms: number | undefined;
}

/** Reads words; throws TypeError with a sentence for people when they make no sense. */
export function readOptions(words: readonly string[]): Options {
  const flag = { type: "boolean", default: false } as const;
  const { values, positionals } = parseArgs({
    args: [...words],
    allowPositionals: true,
    options: {
      json: flag,
      quick: flag,
      write: flag,
      gate: flag,
      help: flag,
      list: flag,
      rounds: { type: "string" },
      ms: { type: "string" },
    },
  });
  const { json, quick, write, gate, help, list } = values;
  return {
    names: positionals,
    json,
    quick,
    write,
    gate,
    help,
    list,
    rounds: count("rounds", values.rounds, 1_000),
    ms: count("ms", values.ms, 60_000),
  };
}

function count(name: string, text: string | undefined, most: number): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1 || value > most)
    throw new TypeError(`--${name} is a whole number from 1 to ${most}, not "${text}"`);
  return value;
}
