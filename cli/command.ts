/**
 * One row per command: what it does, examples, flags, arguments, action. This file turns rows into stricli's
 * commands, so that help, completion and docs/cli.md all come from the same rows.
 */
import { buildCommand, buildRouteMap, type Command, type RouteMap } from "@stricli/core";
import type { Cli } from "./context.ts";
import { type Arguments, type ArgumentValues, CONNECTION, type ConnectionValues, type Flags, type Values } from "./flags.ts";

export interface CommandRow<F extends Flags, A extends Arguments> {
  readonly brief: string;
  /** Further lines for --help. */
  readonly details?: string;
  /** Whole command lines, at least one. */
  readonly examples: readonly [string, ...string[]];
  readonly flags: F;
  readonly args: A;
  /** The only argument row stands for any number of arguments, at least this many. */
  readonly repeat?: number;
  /** One-letter forms of flags. */
  readonly letters?: Readonly<Record<string, keyof F & string>>;
  readonly action: (cli: Cli, flags: Values<F>, ...args: ArgumentValues<A>) => Promise<void> | void;
}

/** A command that needs no connection. */
export function localCommand<const F extends Flags, const A extends Arguments>(row: CommandRow<F, A>): Command<Cli> {
  const rows = Object.entries(row.flags).map(([name, flag]) => [name, withValue(flag.row)] as const);
  const off = Object.fromEntries(rows.filter(([, flag]) => flag["kind"] === "boolean").map(([name]) => [name, false]));
  const action = row.action as (cli: Cli, flags: unknown, ...args: unknown[]) => Promise<void> | void;
  const single = row.args[0];
  const positional =
    row.repeat !== undefined && single !== undefined
      ? { kind: "array", parameter: single.row, minimum: row.repeat }
      : { kind: "tuple", parameters: row.args.map((argument) => argument.row) };
  return buildCommand({
    func: async function (this: Cli, flags: object, ...args: unknown[]) {
      await action(this, { ...off, ...flags }, ...args);
    },
    // The rows above are typed by their builders; stricli's own inference cannot see through them.
    parameters: { flags: Object.fromEntries(rows), aliases: row.letters ?? {}, positional } as never,
    docs: { brief: row.brief, fullDescription: describe(row.brief, row.details, row.examples) },
  } as never) as unknown as Command<Cli>;
}

/** The help of stricli leaves out what value a flag takes: it is said before its meaning. */
function withValue(flag: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const { brief, placeholder } = flag;
  return placeholder === undefined ? flag : { ...flag, brief: `${String(placeholder)}: ${String(brief)}` };
}

/** A command that connects: it takes the connection flags too, with `-s` for `--server`. */
export function command<const F extends Flags, const A extends Arguments>(
  row: Omit<CommandRow<F, A>, "action"> & {
    readonly action: (cli: Cli, flags: Values<F> & ConnectionValues, ...args: ArgumentValues<A>) => Promise<void> | void;
  },
): Command<Cli> {
  const whole = { ...row, flags: { ...row.flags, ...CONNECTION }, letters: { ...row.letters, s: "server" } };
  return localCommand(whole as unknown as CommandRow<Flags, Arguments>);
}

/** Commands of one noun. */
export function noun(
  brief: string,
  examples: readonly [string, ...string[]],
  routes: Readonly<Record<string, Command<Cli> | RouteMap<Cli>>>,
  aliases: Readonly<Record<string, string>> = {},
  hidden: readonly string[] = [],
): RouteMap<Cli> {
  const hideRoute = Object.fromEntries(hidden.map((route) => [route, true]));
  const docs = { brief, fullDescription: describe(brief, undefined, examples), hideRoute };
  return buildRouteMap({ routes, aliases, docs } as never) as unknown as RouteMap<Cli>;
}

function describe(brief: string, details: string | undefined, examples: readonly string[]): string {
  const parts = [brief, ...(details === undefined ? [] : [details]), `EXAMPLES\n${examples.map((example) => `  ${example}`).join("\n")}`];
  return parts.join("\n\n");
}
