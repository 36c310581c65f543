/** How a command states its flags and arguments: each builder gives a row for stricli and the type of its value. */

import { functionNames } from "./names.ts";

/** What TAB proposes where a placeholder names all values itself: node|python. */
const proposals = (placeholder: string) => {
  const all = /^[a-z]+(?:\|[a-z]+)+$/.test(placeholder) ? placeholder.split("|") : undefined;
  return all === undefined ? {} : { proposeCompletions: (partial: string) => all.filter((one) => one.startsWith(partial)) };
};

/** `V` is what the command gets. */
export interface Flag<V> {
  readonly row: Readonly<Record<string, unknown>>;
  /** Never set; carries the type. */
  readonly type?: V;
}

export type Flags = Readonly<Record<string, Flag<unknown>>>;
export type Values<F extends Flags> = { readonly [K in keyof F]: F[K] extends Flag<infer V> ? V : never };

/** A flag with a value that may be left out. */
export function value<V>(parse: (text: string) => V, placeholder: string, brief: string): Flag<V | undefined> {
  return { row: { kind: "parsed", parse, brief, placeholder, optional: true, ...proposals(placeholder) } };
}

/** A flag with a value and a default, written as the user would. */
export function valueOr<V>(parse: (text: string) => V, placeholder: string, fallback: string, brief: string): Flag<V> {
  return { row: { kind: "parsed", parse, brief, placeholder, default: fallback } };
}

/** A flag that may be given several times. */
export function values<V>(parse: (text: string) => V, placeholder: string, brief: string): Flag<readonly V[] | undefined> {
  return { row: { kind: "parsed", parse, brief, placeholder, optional: true, variadic: true } };
}

/** A flag without a value; false when it is not given. */
export function on(brief: string): Flag<boolean> {
  return { row: { kind: "boolean", brief, optional: true, withNegated: false } };
}

/** A flag with one of few values. */
export function choice<const V extends string>(options: readonly V[], brief: string): Flag<V | undefined> {
  return { row: { kind: "enum", values: options, brief, optional: true } };
}

export const text = (input: string): string => input;

/** One positional argument. */
export interface Argument<V> {
  readonly row: Readonly<Record<string, unknown>>;
  readonly type?: V;
}
export type Arguments = readonly Argument<unknown>[];
export type ArgumentValues<A extends Arguments> = { readonly [K in keyof A]: A[K] extends Argument<infer V> ? V : never };

export function argument<V>(parse: (text: string) => V, placeholder: string, brief: string): Argument<V> {
  return { row: { parse, placeholder, brief, ...proposals(placeholder) } };
}

export function optionalArgument<V>(parse: (text: string) => V, placeholder: string, brief: string): Argument<V | undefined> {
  return { row: { parse, placeholder, brief, optional: true } };
}

/** The name of a function, which TAB proposes from what is deployed. */
export function functionArgument<V>(parse: (text: string) => V, placeholder: string, brief: string): Argument<V> {
  return { row: { parse, placeholder, brief, proposeCompletions: functionNames } };
}

export function optionalFunctionArgument<V>(parse: (text: string) => V, placeholder: string, brief: string): Argument<V | undefined> {
  return { row: { parse, placeholder, brief, optional: true, proposeCompletions: functionNames } };
}

/** How to reach the broker, as the `nats` CLI has it; every command that connects takes these. */
export const CONNECTION = {
  server: value(text, "URL", "broker to connect to (NATS_URL); several with commas"),
  context: value(text, "NAME|FILE", "NATS context (NATS_CONTEXT); default: the local platform's, then the selected one"),
  creds: value(text, "FILE", "user credentials (NATS_CREDS)"),
  nkey: value(text, "FILE", "user nkey seed (NATS_NKEY)"),
  user: value(text, "NAME", "user name or token (NATS_USER)"),
  password: value(text, "TEXT", "password (NATS_PASSWORD)"),
  tlscert: value(text, "FILE", "TLS client certificate (NATS_CERT)"),
  tlskey: value(text, "FILE", "TLS client key (NATS_KEY)"),
  tlsca: value(text, "FILE", "TLS certificate authority (NATS_CA)"),
} as const satisfies Flags;

export type ConnectionValues = Values<typeof CONNECTION>;

export const JSON_FLAG = { json: on("print JSON instead of a table") } as const satisfies Flags;
