/**
 * Two releases side by side (decision 0022): what the release before put on the wire is understood, and what is put there
 * now is understood by the release before. The vectors in golden/ were made by that release's own code.
 */
import { readFileSync } from "node:fs";
import path from "node:path";
import test, { type ExecutionContext } from "ava";
import fc from "fast-check";
import { Compile } from "typebox/compile";
import { BUCKET, OBJECTS, STREAM } from "../../nodes/io/buckets.ts";
import { timeOfCall } from "../../protocol/call-id.ts";
import { decode, splitHead } from "../../protocol/codec.ts";
import type { Checked } from "../../protocol/contract.ts";
import { Fault, isErrorName } from "../../protocol/errors.ts";
import { FRAME } from "../../protocol/frames.ts";
import { CALL_HEADERS, REPLY_HEADERS } from "../../protocol/headers.ts";
import { CONTRACTS } from "../../protocol/messages/index.ts";
import { PoolSchema } from "../../protocol/messages/records.ts";
import { isAnswerable, parseBackSubject, permissionsOf, type Role, SUBJECT } from "../../protocol/subjects.ts";
import { PROTOCOL } from "../../protocol/version.ts";
import { subjectMatches } from "../support/memory-broker.ts";
import { projectRoot } from "../support/project-root.ts";
import { differences, refusedFields } from "./golden/differences.ts";
import { frameVectors, readFrame } from "./golden/frames.ts";
import { samples } from "./golden/sample.ts";
import { type Shape, shapeOf } from "./golden/shape.ts";
import { BODY, failureOf, type Golden, makeGolden, optionsOf, type Part, partOf, STORED, sidesOf } from "./golden/vectors.ts";

const BEFORE = PROTOCOL - 1;
const before = JSON.parse(readFileSync(path.join(projectRoot(), `test/protocol/golden/v${BEFORE}.json`), "utf8")) as Golden;
const now = await makeGolden(PROTOCOL, "present");
const bytes = (hex: string): Uint8Array => Buffer.from(hex, "hex");

/**
 * Changes that the release before would not bear, and why it never meets them. `<message> <side>: <path>`, as the failure says it.
 */
const BORNE: Readonly<Record<string, string>> = {};

/** Fields that were added to what operators send. A server of the release before answers BadRequest: "there is no field …". */
const NEW_FOR_OPERATORS: readonly string[] = [];

const present = new Map<string, Checked<unknown>>();
for (const { contract } of CONTRACTS)
  for (const [side, check] of Object.entries(sidesOf(contract))) present.set(`${contract.name} ${side}`, check);

/** Every message of the release before with its present check: name, part, check. */
const messages: readonly (readonly [string, Part])[] = [
  ...Object.entries(before.messages).flatMap(([name, { sides }]) =>
    Object.entries(sides).map(([side, part]) => [`${name} ${side}`, part] as const),
  ),
];

test("a message of the release before is accepted by the present code, and means what it meant", (t) => {
  for (const [name, { vectors }] of messages) {
    const check = present.get(name);
    if (check === undefined) {
      t.fail(`${name} is gone: nodes of the release before still send it. Serve it for one more release.`);
      continue;
    }
    for (const { what, hex, value } of vectors) accepts(t, `${name}, ${what}`, check, decode(bytes(hex)), value);
  }
});

function accepts(t: ExecutionContext, name: string, check: Checked<unknown>, decoded: unknown, value: unknown): void {
  t.deepEqual(decoded, value, `${name}: the bytes are read as something else: the codec has changed`);
  try {
    t.deepEqual(check.parse(decoded), value, name);
  } catch (thrown) {
    t.fail(`${name} is refused now: ${Fault.from(thrown).message}. Accept it for one more release.`);
  }
}

test("heads, refusals and code in a request are read as the release before wrote them", (t) => {
  for (const [name, { vectors }] of Object.entries(before.loose)) {
    const check = now.loose[name];
    if (check === undefined) {
      t.fail(`${name} is gone: nodes of the release before still send it`);
      continue;
    }
    const { schema } = check;
    const validator = Compile(schema as never);
    for (const { what, hex, value } of vectors) {
      const decoded = name === "inlineRequest" ? JSON.parse(Buffer.from(hex, "hex").toString()) : headOf(t, name, hex);
      t.deepEqual(decoded, value, `${name}, ${what}`);
      t.true(validator.Check(decoded), `${name}, ${what} is refused now`);
    }
  }
});

function headOf(t: ExecutionContext, name: string, hex: string): unknown {
  if (!/Head$|^handedCall$/.test(name)) return decode(bytes(hex));
  const { head, body } = splitHead(bytes(hex));
  t.deepEqual(Buffer.from(body), Buffer.from(BODY), "the caller's bytes are not touched");
  return head;
}

test("no field is gone, has another type, or became obligatory since the release before", (t) => {
  const found = (name: string, old: Shape, shape: Shape | undefined) => {
    for (const { path: where, sentence } of shape === undefined ? [] : differences(old, shape))
      if (BORNE[`${name}: ${where}`] === undefined) t.fail(`${name}: ${sentence}`);
  };
  for (const [name, { schema }] of messages) found(name, schema, shapeOf(present.get(name)?.schema ?? {}));
  for (const [name, { schema }] of Object.entries(before.loose)) found(name, schema, now.loose[name]?.schema);
  for (const [bucket, { schema }] of Object.entries(before.stored)) found(bucket, schema, now.stored[bucket]?.schema);
  found("pools", before.pools.schema, now.pools.schema);
  t.pass();
});

test("every present message is accepted by the schemas of the release before, whatever was added to it", (t) => {
  const all: [string, Shape, readonly { what: string; value: unknown }[]][] = [
    ...messages.map(([name, { schema }]): [string, Shape, Part["vectors"]] => [
      name,
      schema,
      partOf(present.get(name)?.schema ?? {}).vectors,
    ]),
    ...Object.entries(before.loose).map(([name, { schema }]): [string, Shape, Part["vectors"]] => [
      name,
      schema,
      now.loose[name]?.vectors ?? [],
    ]),
  ];
  for (const [name, schema, vectors] of all) {
    const validator = Compile(schema as never);
    for (const { what, value } of vectors) {
      if (validator.Check(value)) continue;
      const [first] = validator.Errors(value) as { keyword?: string; instancePath?: string; message?: string }[];
      const where = (first?.instancePath ?? "").slice(1).replaceAll("/", ".").replace(/\.\d+/g, "[]");
      const isNewField = first?.keyword === "boolean" && NEW_FOR_OPERATORS.includes(`${name}: ${where}`);
      if (!isNewField && BORNE[`${name}: ${where}`] === undefined)
        t.fail(`${name}, ${what}: the release before refuses ${where}: ${first?.message}. Leave it out towards nodes of that release.`);
    }
  }
  t.pass();
});

test("what was added to an operator's request is refused by name, and a command that does not use it works with a server of the release before", (t) => {
  const added = messages.flatMap(([name, { schema }]) =>
    refusedFields(schema, shapeOf(present.get(name)?.schema ?? {})).map((field) => `${name}: ${field}`),
  );
  t.deepEqual(added.sort(), [...NEW_FOR_OPERATORS].sort(), "say each of them in NEW_FOR_OPERATORS, and in the CHANGELOG");
  for (const [name, { schema }] of messages.filter(([, part]) => part.schema.additionalProperties === false)) {
    const bare = samples(shapeOf(present.get(name)?.schema ?? {})).find(({ what }) => what === "required fields only");
    t.true(Compile(schema as never).Check(bare?.value), name);
  }
});

test("subjects, back subjects and call ids have the spelling they had", (t) => {
  for (const [name, subject] of Object.entries(before.subjects)) t.is(now.subjects[name], subject, name);
  for (const [name, { subject }] of Object.entries(before.messages)) t.is(now.messages[name]?.subject, subject, name);
  t.deepEqual(now.back, before.back);
  for (const subject of before.back) {
    const parsed = parseBackSubject(subject);
    t.is(parsed && SUBJECT.back(parsed.node, parsed.number, parsed.hop, parsed.reply), subject);
  }
  t.true(isAnswerable(parseBackSubject(before.back[0] ?? "")?.reply ?? "", 256));
  t.deepEqual(now.callIds, before.callIds);
  t.is(timeOfCall(before.callIds[0] ?? ""), 1_800_000_000_007);
});

test("a credential of the present release allows what nodes of the release before do, and buckets and streams have the names they had", (t) => {
  for (const [role, { publish, subscribe }] of Object.entries(before.permissions)) {
    const mine = permissionsOf(role as Role, "n1");
    const covers = (patterns: readonly string[], subject: string) =>
      patterns.includes(subject) || patterns.some((pattern) => subjectMatches(pattern, subject));
    for (const subject of publish) t.true(covers(mine.publish, subject), `${role} may no longer publish ${subject}`);
    for (const subject of subscribe) t.true(covers(mine.subscribe, subject), `${role} may no longer hear ${subject}`);
  }
  t.like(BUCKET, before.names.buckets);
  t.like(OBJECTS, before.names.objects);
  t.like(STREAM, before.names.streams);
});

test("headers of calls are read as they were, and replies have those they had", (t) => {
  t.like(CALL_HEADERS, before.callHeaders);
  for (const { headers, options } of before.headerSets) t.like(optionsOf(headers), options);
  for (const name of before.replyHeaders) t.true(Object.hasOwn(REPLY_HEADERS, name), name);
});

test("no error has lost its name, its number, or what it says about trying again", (t) => {
  for (const [name, { data, hex, headers, body }] of Object.entries(before.errors)) {
    t.true(isErrorName(name), `${name} is gone: names are never reused and never removed`);
    const failure = failureOf(name);
    t.deepEqual(failure.data, data);
    t.deepEqual(Fault.fromData(decode(bytes(hex)) as never).toData(), data);
    t.like(failure.headers, headers);
    for (const field of ["error", "message", "fault", "retry", "retryAfterMs"]) t.is(failure.body[field], body[field], `${name}: ${field}`);
  }
});

test("frames have the numbers and the form they had", (t) => {
  for (const { name, hex, ...frame } of before.frames) {
    t.deepEqual(readFrame(hex), frame, name);
    t.is(frameVectors().find((one) => one.name === name)?.hex, hex, name);
  }
  t.is(new Set(Object.values(FRAME)).size, Object.keys(FRAME).length);
});

test("records that the release before stored are read, and the present ones can be read by it", (t) => {
  for (const [bucket, { key, schema, vectors }] of Object.entries(before.stored)) {
    const kept = STORED[bucket];
    t.is(kept?.key, key);
    for (const { what, hex, value } of vectors) if (kept) accepts(t, `${bucket}, ${what}`, kept.checked, decode(bytes(hex)), value);
    for (const { what, value } of now.stored[bucket]?.vectors ?? [])
      t.true(Compile(schema as never).Check(value), `${bucket}, ${what}: the release before cannot read it`);
  }
  for (const { hex, value } of before.pools.vectors) t.deepEqual(decode(bytes(hex)), value);
  t.deepEqual(shapeOf(PoolSchema), before.pools.schema.items ?? {});
});

const SCHEMA: Shape = {
  type: "object",
  required: ["id", "state"],
  properties: {
    id: { type: "string", maxLength: 64 },
    state: {
      anyOf: [
        { type: "string", const: "warm" },
        { type: "string", const: "active" },
      ],
    },
    place: { type: "object", required: ["rung"], properties: { rung: { type: "string" } } },
    rows: { type: "array", items: { type: "object", required: ["n"], properties: { n: { type: "integer" } } } },
  },
};
const changed = (change: Record<string, Shape | undefined>, required = SCHEMA.required ?? []): Shape => ({
  ...SCHEMA,
  required,
  properties: Object.fromEntries(
    Object.entries({ ...SCHEMA.properties, ...change }).filter((entry): entry is [string, Shape] => entry[1] !== undefined),
  ),
});

test("a change that the other release would not bear is named with what to do; an optional field may come", (t) => {
  t.deepEqual(differences(SCHEMA, SCHEMA), []);
  t.deepEqual(differences(SCHEMA, changed({ more: { type: "string" } })), []);
  for (const [shape, said] of [
    [changed({ id: undefined }, ["state"]), /^id is gone: .*Keep reading/],
    [changed({ place: undefined }), /^place is gone/],
    [changed({ id: { type: "integer" } }), /^id was string and is integer.*Keep it as it was/],
    [changed({ id: { type: "string", maxLength: 32 } }), /^id had maxLength 64 and has 32/],
    [changed({}, ["id"]), /^state may be left out now/],
    [changed({}, ["id", "state", "place"]), /^place must be there now.*Make it optional/],
    [changed({ more: { type: "string" } }, ["id", "state", "more"]), /^more is new and must be there/],
    [changed({ state: { anyOf: [{ type: "string", const: "warm" }] } }), /^state may no longer be "active"/],
    [changed({ state: { anyOf: [...(SCHEMA.properties?.["state"]?.anyOf ?? []), { type: "null" }] } }), /^state may also be null/],
    [changed({ place: { type: "object", properties: { rung: { type: "string" } } } }), /^place\.rung may be left out/],
    [
      changed({ rows: { type: "array", items: { type: "object", required: ["n"], properties: { n: { type: "number" } } } } }),
      /^rows\[\]\.n/,
    ],
    [{ ...SCHEMA, additionalProperties: false }, /is strict now/],
  ] as const) {
    const found = differences(SCHEMA, shape);
    t.is(found.length, 1, JSON.stringify(found));
    t.regex(found[0]?.sentence ?? "", said);
  }
  t.deepEqual(refusedFields({ ...SCHEMA, additionalProperties: false }, changed({ more: { type: "string" } })), ["more"]);
});

test("whatever lies in a message beside the known fields is passed over, unless an operator sent it", (t) => {
  const tolerant = messages.filter(([, { schema }]) => schema.type === "object" && schema.additionalProperties !== false);
  t.true(tolerant.length > 20);
  fc.assert(
    fc.property(fc.constantFrom(...tolerant), fc.stringMatching(/^x[a-z]{3,9}$/), fc.jsonValue(), ([name, { vectors }], field, value) => {
      const message = { ...(vectors[0]?.value as Record<string, unknown>), [field]: value };
      return present.get(name)?.parse(message) !== undefined;
    }),
  );
  t.pass();
});
