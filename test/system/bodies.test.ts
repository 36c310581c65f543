/** Large bodies on the real platform: in and out by claim check, and what happens to claims that are wrong. */
import { createHash, randomBytes } from "node:crypto";
import anyTest, { type TestFn } from "ava";
import { BODY_HEADER, dropBody, getBody, putBody } from "../../nodes/io/bodies.ts";
import { formatBody, parseBody, partsOf } from "../../protocol/bodies.ts";
import { Fault } from "../../protocol/errors.ts";
import { BODY_LIMIT, LIMITS } from "../../protocol/limits.ts";
import { SUBJECT } from "../../protocol/subjects.ts";
import { type Ended, type Platform, startPlatform } from "../support/platform.ts";
import { until } from "../support/until.ts";

const test = anyTest as TestFn;
const MB = 1_000_000;
const NOTHING = new Uint8Array(0);
const ECHO = { node: "export const handler = (event) => event", python: "def handler(event, context):\n    return event\n" } as const;
const MAKE = "export const handler = ({ bytes }) => Buffer.alloc(bytes, 7)";

let platform: Platform;

test.before(async () => {
  platform = await startPlatform();
  await platform.deploy("echo", ECHO.node, { settings: { memoryMb: 512 } });
  await platform.deploy("make", MAKE, { settings: { memoryMb: 512 } });
});
test.after.always(() => platform?.stop());

/** Calls as our own clients do: large bodies by claim check in both directions. */
async function call(target: string, body: Uint8Array, account = "main"): Promise<Uint8Array> {
  const { caller } = platform.anonymous;
  const claim = body.length > BODY_LIMIT ? await putBody(caller, account, body) : undefined;
  const reply = await caller.call(SUBJECT.fn(account, target), claim === undefined ? body : NOTHING, {
    timeoutMs: 60_000,
    redeems: true,
    ...(claim !== undefined && { headers: { [BODY_HEADER]: claim } }),
  });
  const large = reply.headers[BODY_HEADER];
  return large === undefined ? reply.body : getBody(caller, account, large);
}

/** A host that stood still for a moment, as on a busy machine, says so; then the same is asked again. */
async function claimed(claim: string, target = "main/echo"): Promise<Ended> {
  let ended = await platform.call(target, NOTHING, { [BODY_HEADER]: claim });
  for (let nth = 0; nth < 3 && ended.error === "Unavailable"; nth++) ended = await platform.call(target, NOTHING, { [BODY_HEADER]: claim });
  return ended;
}
const put = (bytes: Uint8Array, account = "main"): Promise<string> => putBody(platform.anonymous.caller, account, bytes);
const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const errorOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "none",
    (thrown: unknown) => Fault.from(thrown).name,
  );
const part = (verb: "put" | "get" | "drop", id: string, number: number, body = NOTHING, account = "main") =>
  platform.raw(SUBJECT.bodyPart(account, verb, id, number), body, {}, 20_000);
const storedBytes = async (): Promise<number> => {
  const jsm = await platform.operator.nc.jetstreamManager();
  return (await jsm.streams.info("OBJ_pilot_bodies")).state.bytes;
};

for (const runtime of ["node", "python"] as const) {
  test.serial(`bodies of 5 MB, 20 MB and 64 MiB come back from ${runtime} as they went`, async (t) => {
    await platform.deploy(`echo-${runtime}`, ECHO[runtime], { runtime, settings: { memoryMb: 1_024 } });
    await call(`echo-${runtime}`, json({}));
    for (const size of [5 * MB, 20 * MB, LIMITS.largeBody.value]) {
      const body = randomBytes(size);
      const began = performance.now();
      const back = await call(`echo-${runtime}`, body);
      t.log(`${runtime}: ${size} bytes in and out in ${Math.round(performance.now() - began)} ms`);
      t.is(Buffer.compare(back, body), 0);
    }
  });
}

test.serial("large JSON is an event like any other, and a large text a result", async (t) => {
  await platform.deploy("count", "export const handler = ({ rows }) => ({ rows: rows.length, again: rows })", {
    settings: { memoryMb: 1_024 },
  });
  const rows = Array.from({ length: 50_000 }, (_, nth) => ({ nth, text: "x".repeat(100) }));
  const answer = Buffer.from(await call("count", json({ rows }))).toString();
  // Compared as text: a test that stands still for seconds loses its connection.
  t.true(answer === JSON.stringify({ rows: rows.length, again: rows }));
});

test.serial("one body more than the limit is refused before it is sent, and no header makes it fit", async (t) => {
  const { caller } = platform.anonymous;
  t.is(await errorOf(putBody(caller, "main", new Uint8Array(LIMITS.largeBody.value + 1))), "PayloadTooLarge");
  const bytes = LIMITS.largeBody.value + 1;
  const id = "0".repeat(32);
  t.is((await claimed(`${id};${partsOf(bytes)};${bytes};${"0".repeat(64)}`)).error, "BadHeader");
  t.is((await part("put", id, 0, new Uint8Array(LIMITS.bodyPart.value + 1))).error, "PayloadTooLarge");
  t.is((await part("put", id, 0)).error, "BadRequest");
});

test.serial("claims of another digest, with a missing part, expired, used, or of another account are BodyUnavailable", async (t) => {
  const body = randomBytes(5 * MB);
  const ref = parseBody(await put(body));
  if (ref === undefined) throw new Error("no claim");
  const wrong = await claimed(formatBody({ ...ref, sha256: "0".repeat(64) }));
  t.is(wrong.error, "BodyUnavailable");
  t.regex(wrong.message, /digest/);
  await platform.deploy("echo", ECHO.node, { account: "other", settings: { memoryMb: 512 } });
  t.is((await claimed(formatBody(ref), "other/echo")).error, "BodyUnavailable");
  t.is((await claimed(formatBody({ ...ref, parts: partsOf(6 * MB), bytes: 6 * MB }))).error, "BodyUnavailable");
  t.is((await claimed(formatBody({ ...ref, bytes: ref.bytes - 1 }))).error, "BodyUnavailable");
  // None of these has used it up.
  const first = await platform.anonymous.caller.call("pilot.fn.main.echo", NOTHING, {
    timeoutMs: 30_000,
    redeems: true,
    headers: { [BODY_HEADER]: formatBody(ref) },
  });
  t.is(Buffer.compare(await getBody(platform.anonymous.caller, "main", first.headers[BODY_HEADER] ?? ""), body), 0);
  const gone = async () => (await claimed(formatBody(ref))).error === "BodyUnavailable";
  await until(gone, "the used body to be gone");
  // What time does after an hour.
  const old = await put(body);
  const jsm = await platform.operator.nc.jetstreamManager();
  await jsm.streams.purge("OBJ_pilot_bodies", { filter: `$O.pilot_bodies.C.main.${old.slice(0, 32)}.2` });
  const expired = await claimed(old);
  t.is(expired.error, "BodyUnavailable");
  t.regex(expired.message, /part 2/);
  t.is((await platform.call("echo", { still: "here" })).error, undefined);
});

test.serial("garbage for ids, parts, headers and accounts is refused with its reason, and nothing is stored", async (t) => {
  const id = randomBytes(16).toString("hex");
  const bytes = randomBytes(100);
  for (const claim of [
    "",
    ";",
    "x",
    id,
    `${id};1;5;${"z".repeat(64)}`,
    `${id};2;5;${"0".repeat(64)}`,
    `${id};0;0;${"0".repeat(64)}`,
    `../../x;1;5;${"0".repeat(64)}`,
    "9".repeat(900),
  ])
    t.is((await claimed(claim)).error, "BadHeader", claim);
  for (const subject of [
    `pilot.body.main.put.${id}`,
    `pilot.body.main.put.${id}.0.1`,
    `pilot.body.main.put.${id.toUpperCase()}X.0`,
    `pilot.body.main.put.short.0`,
    `pilot.body.main.put.${id}.-1`,
    `pilot.body.main.put.${id}.01`,
    `pilot.body.main.put.${id}.1e1`,
    `pilot.body.main.put.${id}.999`,
    `pilot.body.main.take.${id}.0`,
    `pilot.body.MAIN.put.${id}.0`,
    `pilot.body.main.drop.${id}.0`,
  ])
    t.is((await platform.raw(subject, bytes)).error, "BadName", subject);
  t.is((await part("put", id, 0, bytes, "nobody")).error, "NotFound");
  t.is((await part("get", id, 0, NOTHING, "nobody")).error, "NotFound");
  t.is((await part("get", id, 0)).error, "BodyUnavailable");
  t.is((await part("drop", id, 60)).error, undefined);
  t.is((await platform.call("echo", { a: "body" }, { [BODY_HEADER]: `${id};1;5;${"0".repeat(64)}` })).error, "BadRequest");
  const inline = json({ code: "export const handler = () => 1", event: {} });
  t.is((await platform.raw("pilot.inline.main", inline, { [BODY_HEADER]: `${id};1;5;${"0".repeat(64)}` })).error, "BadHeader");
});

test.serial("a part may be sent again, not replaced, and not after it was removed", async (t) => {
  const id = randomBytes(16).toString("hex");
  const bytes = randomBytes(1_000);
  t.is((await part("put", id, 0, bytes)).error, undefined);
  t.is((await part("put", id, 0, bytes)).error, undefined);
  t.is((await part("put", id, 0, randomBytes(1_000))).error, "Conflict");
  t.is(Buffer.compare((await part("get", id, 0)).body, bytes), 0);
  t.is((await part("get", id, 0, NOTHING, "main")).error, undefined);
  t.is((await part("drop", id, 1)).error, undefined);
  await until(async () => (await part("get", id, 0)).error === "BodyUnavailable", "the part to be gone");
  t.is((await part("put", id, 0, bytes)).error, "Conflict");
});

test.serial("used bodies leave the store, be they of calls or results", async (t) => {
  await until(async () => (await storedBytes()) < 64 * MB, "what other tests left to be little");
  const before = await storedBytes();
  for (let nth = 0; nth < 3; nth++) await call("echo", randomBytes(8 * MB));
  dropBody(platform.anonymous.caller, "main", await put(randomBytes(8 * MB)));
  await until(async () => (await storedBytes()) < before + MB, "the bodies to be gone");
  t.pass();
});

test.serial("a plain client with too large a body, or a function's result too large for it, gets advice", async (t) => {
  const sent = await platform.call("echo", new Uint8Array(BODY_LIMIT + 1));
  t.is(sent.error, "PayloadTooLarge");
  t.regex(sent.message, /pilot invoke.*reference/);
  const got = await platform.call("make", { bytes: BODY_LIMIT + 1 });
  t.is(got.error, "ResultTooLarge");
  t.regex(got.message, new RegExp(`${BODY_LIMIT + 1}.*${BODY_LIMIT}.*pilot invoke.*reference`));
  t.is((await platform.call("make", { bytes: BODY_LIMIT })).body.length, BODY_LIMIT);
  t.is(await errorOf(call("make", json({ bytes: LIMITS.largeBody.value + 1 }))), "ResultTooLarge");
});

test.serial("a function that is answered directly gives large results too", async (t) => {
  await platform.deploy("busy", MAKE, { settings: { class: "busy", memoryMb: 512 } });
  const isDirect = async () => (await platform.call("busy", { bytes: 1 })).headers["Pilot-Path"] === "direct";
  await until(isDirect, "a direct call", 30_000);
  t.is((await call("busy", json({ bytes: 9 * MB }))).length, 9 * MB);
  t.is((await platform.call("busy", { bytes: 9 * MB })).error, "ResultTooLarge");
  const body = randomBytes(6 * MB);
  await platform.deploy("busy-echo", ECHO.node, { settings: { class: "busy", memoryMb: 512 } });
  t.is(Buffer.compare(await call("busy-echo", body), body), 0);
});

test.serial("functions send each other large bodies, in both runtimes", async (t) => {
  const node = `
    import { createHash } from "node:crypto";
    export const handler = async ({ to, bytes }, context) => {
      const body = Buffer.alloc(bytes, 5);
      const back = await context.call(to, body);
      const refused = await context.publish("x", body).catch((error) => error.name);
      return [back.length, createHash("sha256").update(back).digest("hex"), refused];
    }`;
  const python = `
import hashlib
def handler(event, context):
    body = b"\\x05" * event["bytes"]
    back = context.call(event["to"], body)
    try:
        context.publish("x", body)
        refused = ""
    except Exception as error:
        refused = error.name
    return [len(back), hashlib.sha256(back).hexdigest(), refused]
`;
  const bytes = 12 * MB;
  const digest = createHash("sha256").update(Buffer.alloc(bytes, 5)).digest("hex");
  await platform.deploy("ask-node", node, { settings: { memoryMb: 512 } });
  await platform.deploy("ask-python", python, { runtime: "python", settings: { memoryMb: 512 } });
  for (const asker of ["ask-node", "ask-python"]) {
    const answer = await platform.call(asker, { to: "echo", bytes });
    t.deepEqual(answer.value, [bytes, digest, "PayloadTooLarge"], `${asker} ${answer.message}`);
  }
});

test.serial("a body larger than the memory of its container ends as OutOfMemory, and others are served", async (t) => {
  await platform.deploy("small", "export const handler = (event) => [event, Buffer.from(event), Buffer.from(event)].length", {
    settings: { memoryMb: 64 },
  });
  const body = randomBytes(LIMITS.largeBody.value - 1);
  t.is(await errorOf(call("small", body)), "OutOfMemory");
  t.is((await platform.call("echo", { still: "here" })).error, undefined);
});

test.serial("a flood of parts is bounded, and calls and other accounts' parts are served meanwhile", async (t) => {
  await platform.deploy("echo", ECHO.node, { account: "calm", settings: { memoryMb: 512 } });
  const bytes = randomBytes(LIMITS.bodyPart.value);
  const ids = Array.from({ length: 200 }, () => randomBytes(16).toString("hex"));
  const flood = ids.map((id) => part("put", id, 0, bytes));
  const calm = await Promise.all([
    call("echo", randomBytes(5 * MB), "calm").then(({ length }) => length),
    platform.call("echo", { a: "call" }).then(({ error }) => error),
  ]);
  t.deepEqual(calm, [5 * MB, undefined]);
  const errors = new Set((await Promise.all(flood)).map(({ error }) => error));
  t.deepEqual(
    [...errors].filter((error) => error !== undefined && error !== "Throttled"),
    [],
  );
  for (const id of ids) await part("drop", id, 1);
});

test.serial("a store that is full says so to callers and to functions, and takes bodies again when there is room", async (t) => {
  const jsm = await platform.operator.nc.jetstreamManager();
  const { config } = await jsm.streams.info("OBJ_pilot_bodies");
  await jsm.streams.update(config.name, { ...config, max_bytes: (await storedBytes()) + 3 * MB });
  try {
    const ids = Array.from({ length: 4 }, () => randomBytes(16).toString("hex"));
    const bytes = randomBytes(LIMITS.bodyPart.value);
    const errors = await Promise.all(ids.map(async (id) => (await part("put", id, 0, bytes)).error));
    t.deepEqual([...new Set(errors)].sort(), ["Throttled", undefined]);
    t.is(await errorOf(call("make", json({ bytes: 8 * MB }))), "Throttled");
    for (const id of ids) await part("drop", id, 1);
  } finally {
    await jsm.streams.update(config.name, config);
  }
  t.is((await call("make", json({ bytes: 8 * MB }))).length, 8 * MB);
});

test.serial("an aborted transfer ends as Cancelled, and progress is told", async (t) => {
  const { caller } = platform.anonymous;
  const told: number[] = [];
  await putBody(caller, "main", randomBytes(5 * MB), { progress: (done, total) => told.push(done / total) });
  t.is(told.length, partsOf(5 * MB));
  t.is(told.at(-1), 1);
  const abort = new AbortController();
  const sending = putBody(caller, "main", randomBytes(40 * MB), { signal: abort.signal, progress: () => abort.abort() });
  t.is(await errorOf(sending), "Cancelled");
});
