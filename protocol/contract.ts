/**
 * A conversation is one object: subject, request and reply schema, limit and meaning, used at both ends.
 * Adding a message is one contract (in messages/) and one handler.
 */
import Type, { type Static, type TSchema } from "typebox";
import { Compile } from "typebox/compile";
import { Fault } from "./errors.ts";
import { LIMITS } from "./limits.ts";

/** A typed check, compiled at its first use: a command needs two of some dozens, and each costs milliseconds. Unknown fields are an error where the schema says so. */
export interface Checked<T> {
  readonly schema: TSchema;
  /** Returns the value, or throws Fault BadRequest naming the first thing that is wrong. */
  parse(value: unknown): T;
}

export function checked<S extends TSchema>(schema: S): Checked<Static<S>> {
  let compiled: ReturnType<typeof Compile<S>> | undefined;
  return {
    schema,
    parse(value) {
      compiled ??= Compile(schema);
      const validator = compiled;
      if (validator.Check(value)) return value as Static<S>;
      const [first] = validator.Errors(value);
      throw new Fault("BadRequest", describe(first));
    },
  };
}

function describe(error: { keyword?: string; instancePath?: string; message?: string } | undefined): string {
  const where = error?.instancePath ? error.instancePath.slice(1, 201).replaceAll("/", ".") : "the message";
  // The schema of what an object may not have is `false`.
  return error?.keyword === "boolean" ? `there is no field ${where}` : `${where} ${error?.message ?? "is malformed"}`;
}

/** Request and reply, served by one node or by a queue group. */
export interface Request<P extends readonly string[], Q, R> {
  readonly kind: "request";
  /** Also the name of the micro-service endpoint; `-` and letters only. */
  readonly name: string;
  subject(...params: P): string;
  readonly request: Checked<Q>;
  readonly reply: Checked<R>;
  /** How long the asker waits, in ms. */
  readonly timeoutMs: number;
  /** One sentence: what it does and when it is legal. */
  readonly meaning: string;
}

/** One-way, at most once; whatever matters in it is cumulative, so that a lost one costs nothing. */
export interface Event<P extends readonly string[], Q> {
  readonly kind: "event";
  readonly name: string;
  subject(...params: P): string;
  readonly body: Checked<Q>;
  readonly meaning: string;
}

export function request<const P extends readonly string[], Q extends TSchema, R extends TSchema>(row: {
  name: string;
  subject: (...params: P) => string;
  request: Q;
  reply: R;
  timeoutMs?: number;
  meaning: string;
}): Request<P, Static<Q>, Static<R>> {
  return {
    kind: "request",
    name: row.name,
    subject: row.subject,
    request: checked(row.request),
    reply: checked(row.reply),
    timeoutMs: row.timeoutMs ?? LIMITS.control.value,
    meaning: row.meaning,
  };
}

export function event<const P extends readonly string[], Q extends TSchema>(row: {
  name: string;
  subject: (...params: P) => string;
  body: Q;
  meaning: string;
}): Event<P, Static<Q>> {
  return { kind: "event", name: row.name, subject: row.subject, body: checked(row.body), meaning: row.meaning };
}

/** An object without unknown fields: what users and operators send. */
export const Strict = <T extends Record<string, TSchema>>(properties: T) => Type.Object(properties, { additionalProperties: false });
