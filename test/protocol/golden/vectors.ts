/**
 * Everything that crosses from one process to another, as bytes: messages, heads, subjects, headers, errors, frames,
 * stored records. Made from the present code by `scripts/golden.ts`; what an earlier release made is kept beside this file.
 */
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { readCallHeaders } from "../../../actors/frontend/headers.ts";
import { failureBody, failureHeaders } from "../../../actors/kit/failure.ts";
import { BUCKET, OBJECTS, STREAM } from "../../../nodes/io/buckets.ts";
import { callIds } from "../../../protocol/call-id.ts";
import { encode, joinHead } from "../../../protocol/codec.ts";
import { type Checked, checked } from "../../../protocol/contract.ts";
import { ERRORS, Fault, isErrorName } from "../../../protocol/errors.ts";
import { CALL_HEADERS, REPLY_HEADERS } from "../../../protocol/headers.ts";
import { CONTRACTS, type Contract } from "../../../protocol/messages/index.ts";
import { AccountSchema, CallSchema, FunctionSchema, PoolSchema, VersionSchema } from "../../../protocol/messages/records.ts";
import { permissionsOf, type Role, SUBJECT } from "../../../protocol/subjects.ts";
import { frameVectors } from "./frames.ts";
import { samples } from "./sample.ts";
import { type Shape, shapeOf } from "./shape.ts";

/** One message: its bytes in hex, and what they mean. */
export interface Vector {
  readonly what: string;
  readonly hex: string;
  readonly value: unknown;
}

/** A message, or one side of a conversation. */
export interface Part {
  readonly schema: Shape;
  readonly vectors: readonly Vector[];
}

export type Golden = ReturnType<typeof makeGolden> extends Promise<infer G> ? G : never;

const HEX = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const CALL = samples(shapeOf(CallSchema))[0]?.value;

/** Fields whose schema is anything, because the record in them has a schema of its own. */
const anything = (field: string): unknown => (field === "calls" || field === "record" ? CALL : { width: 200, height: null });

/** The samples of a schema. `write`: the bytes of a value; msgpack where nothing is said. */
export function partOf(schema: unknown, write: (value: unknown) => Uint8Array = encode): Part {
  const shape = shapeOf(schema);
  return { schema: shape, vectors: samples(shape, anything).map(({ what, value }) => ({ what, hex: HEX(write(value)), value })) };
}

/** The two sides of a conversation, or the one of an event. */
export function sidesOf(contract: Contract): Readonly<Record<string, Checked<unknown>>> {
  return contract.kind === "request" ? { request: contract.request, reply: contract.reply } : { body: contract.body };
}

/** Words that stand for the parameters of a subject. */
const WORDS = ["w1", "w2", "w3", "w4"];
const subjectOf = (make: (...words: string[]) => string): string => make(...WORDS.slice(0, make.length));

const messagesOf = (contracts: readonly Contract[]) =>
  Object.fromEntries(
    contracts.map((contract) => [
      contract.name,
      {
        subject: subjectOf(contract.subject),
        sides: Object.fromEntries(Object.entries(sidesOf(contract)).map(([side, { schema }]) => [side, partOf(schema)])),
      },
    ]),
  );

/** What is not a contract by itself: heads in front of a body, refusals, the JSON of code in a request. By the name of its export. */
async function looseMessages(): Promise<Readonly<Record<string, Checked<unknown>>>> {
  const directory = new URL("../../../protocol/messages/", import.meta.url);
  const found: Record<string, Checked<unknown>> = {};
  for (const file of readdirSync(fileURLToPath(directory)).filter((name) => /^[^.]+\.[jt]s$/.test(name)))
    for (const [name, value] of Object.entries((await import(new URL(file, directory).href)) as Record<string, unknown>))
      if (typeof value === "object" && value !== null && "schema" in value && "parse" in value) found[name] = value as Checked<unknown>;
  return found;
}

/** Bytes of a caller behind a head. */
export const BODY = new TextEncoder().encode('{"image":"cat.png"}');
const utf8 = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
/** How a loose message is written: heads go before a body, code in a request is JSON. */
const writerOf = (name: string): ((value: unknown) => Uint8Array) =>
  name === "inlineRequest" ? utf8 : /Head$|^handedCall$/.test(name) ? (value) => joinHead(value, BODY) : encode;

/** What is stored, by where. */
export const STORED: Readonly<Record<string, { readonly key: string; readonly checked: Checked<unknown> }>> = {
  [BUCKET.functions]: { key: "main.resize-image", checked: checked(FunctionSchema) },
  [BUCKET.versions]: { key: "main.resize-image.3", checked: checked(VersionSchema) },
  [BUCKET.accounts]: { key: "main", checked: checked(AccountSchema) },
};

const ROLES: readonly Role[] = ["anonymous", "operator", "frontend", "scheduler", "host"];

const HEADER_SETS: readonly Readonly<Record<string, string>>[] = [
  {},
  { "Pilot-Trace": "1" },
  { "pilot-trace": "0", traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" },
  { "Pilot-Deadline": "1500", "Pilot-Timeout": "60000", "Pilot-Memory": "256", "Pilot-Runtime": "node@20" },
  { "X-Request-Id": "its caller's own" },
];
export const optionsOf = (headers: Readonly<Record<string, string>>) => readCallHeaders(Object.keys(headers), (name) => headers[name]);

/** A failure as its caller sees it. */
export function failureOf(name: string) {
  const fault = new Fault(isErrorName(name) ? name : "Internal", "what happened", { retryAfterMs: 120 });
  return {
    data: fault.toData(),
    hex: HEX(encode(fault.toData())),
    headers: failureHeaders(fault),
    body: JSON.parse(new TextDecoder().decode(failureBody(fault))) as Record<string, unknown>,
  };
}

const BACK = SUBJECT.back as (...words: unknown[]) => string;

/** All of it, as the present code makes it. */
export async function makeGolden(protocol: number, release: string) {
  const loose = await looseMessages();
  const newId = callIds("run1run1");
  return {
    protocol,
    release,
    messages: messagesOf(CONTRACTS.map(({ contract }) => contract)),
    loose: Object.fromEntries(Object.entries(loose).map(([name, { schema }]) => [name, partOf(schema, writerOf(name))])),
    body: HEX(BODY),
    subjects: Object.fromEntries(
      Object.entries(SUBJECT).map(([name, made]) => [
        name,
        typeof made === "string" ? made : subjectOf(made as (...words: string[]) => string),
      ]),
    ),
    back: [BACK("frontend-1", 4_711, 2, "_INBOX.Yq3kD0aW8bV4t1.7"), BACK("host-1", 0, 0, "_pilot.inbox.host.host-1.nested1.9")],
    permissions: Object.fromEntries(ROLES.map((role) => [role, permissionsOf(role, "n1")])),
    callHeaders: CALL_HEADERS,
    headerSets: HEADER_SETS.map((headers) => ({ headers, options: optionsOf(headers) })),
    replyHeaders: Object.keys(REPLY_HEADERS),
    errors: Object.fromEntries(Object.keys(ERRORS).map((name) => [name, failureOf(name)])),
    callIds: [newId(1_800_000_000_007), newId(1_800_000_000_008)],
    frames: frameVectors(),
    stored: Object.fromEntries(
      Object.entries(STORED).map(
        ([
          bucket,
          {
            key,
            checked: { schema },
          },
        ]) => [bucket, { key, ...partOf(schema) }],
      ),
    ),
    pools: partOf({ type: "array", items: shapeOf(PoolSchema) }),
    names: { buckets: BUCKET, objects: OBJECTS, streams: STREAM },
  };
}
