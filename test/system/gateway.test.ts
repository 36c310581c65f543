/** The HTTP gateway on the whole platform: what calls give, what a hostile client can do, and that nothing of it stays. */
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { request as httpRequest } from "node:http";
import { connect as dial, type Socket } from "node:net";
import anyTest, { type ExecutionContext, type TestFn } from "ava";

import { BODY_LIMIT, LIMITS } from "../../protocol/limits.ts";
import { showCall } from "../../protocol/messages/fleet.ts";
import { inspectNode } from "../../protocol/messages/inspect.ts";
import { freePorts } from "../support/free-ports.ts";
import { type Platform, startPlatform } from "../support/platform.ts";
import { readLogs } from "../support/read-logs.ts";
import { until } from "../support/until.ts";

const test = anyTest.serial as unknown as TestFn<never>;
let platform: Platform;
let port: number;

const ECHO = "export const handler = async (event) => event";
const LARGE = "export const handler = (event) => (event.bytes === undefined ? event : Buffer.alloc(event.bytes, 7))";
const LONG = `export const handler = (event) => {
  console.log(event);
  return new Promise((resolve) => setTimeout(resolve, 60_000, "too late"));
}`;

test.before(async () => {
  [port = 0] = await freePorts(1);
  platform = await startPlatform({ gateway: true, http: `127.0.0.1:${port}` });
  await platform.deploy("echo", ECHO);
  await platform.deploy("large", LARGE, { settings: { memoryMb: 1_024 } });
  await platform.deploy("long", LONG, { settings: { class: "rare", timeoutMs: 60_000 } });
});
test.after.always(() => platform?.stop());

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly bytes: Buffer;
  readonly text: string;
}

interface Asked {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: Uint8Array | string;
}

function ask(path: string, { method = "POST", headers = {}, body = "" }: Asked = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest({ host: "127.0.0.1", port, path, method, headers, agent: false }, (response) => {
      const pieces: Buffer[] = [];
      response.on("data", (piece: Buffer) => pieces.push(piece));
      response.on("error", reject);
      response.on("end", () => {
        const bytes = Buffer.concat(pieces);
        resolve({ status: response.statusCode ?? 0, headers: response.headers, bytes, text: bytes.toString("utf8") });
      });
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

const works = async (t: ExecutionContext<never>): Promise<void> => {
  const { status, text } = await ask("/fn/main/echo", { body: '{"still":"works"}' });
  t.deepEqual([status, text], [200, '{"still":"works"}']);
};

const nameOf = ({ text }: Answer): string => (JSON.parse(text) as { name: string }).name;

/** A connection by hand. */
async function wire(t: ExecutionContext<never>): Promise<{ readonly socket: Socket; heard(): string; readonly closed: Promise<void> }> {
  const socket = dial(port, "127.0.0.1");
  t.teardown(() => socket.destroy());
  let text = "";
  socket.setEncoding("latin1").on("data", (piece: string) => (text += piece));
  const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()).on("error", () => undefined));
  await new Promise((resolve) => socket.once("connect", resolve));
  return { socket, heard: () => text, closed };
}

test("a body goes to the function and its result comes back, as JSON, text or bytes", async (t) => {
  for (const [body, type] of [
    ['{"x":1}', "application/json; charset=utf-8"],
    ["plain words", "text/plain; charset=utf-8"],
    [Buffer.of(0xff, 0, 0xfe), "application/octet-stream"],
    ["", "application/octet-stream"],
  ] as const) {
    const { status, headers, bytes } = await ask("/fn/main/echo:live", { body });
    t.is(status, 200);
    t.true(bytes.equals(Buffer.from(body)));
    t.is(headers["content-type"], type);
    t.is(headers["pilot-rung"], undefined);
  }
  const traced = await ask("/fn/main/echo.1", { body: "1", headers: { "Pilot-Trace": "1", traceparent: "00-1-2-01" } });
  t.is(traced.headers["pilot-version"], "1");
  t.is(traced.headers["traceparent"], "00-1-2-01");
});

test("curl calls a function as the README says", async (t) => {
  const words = ["-s", "-S", "--max-time", "20", `http://127.0.0.1:${port}/fn/main/echo`, "-d", '{"name":"you"}'];
  const run = spawnSync("curl", words, { encoding: "utf8" });
  if (run.error !== undefined) return t.log("there is no curl here");
  return t.is(run.stdout, '{"name":"you"}', run.stderr);
});

test("F002 code in the request runs", async (t) => {
  const body = JSON.stringify({ code: "export const handler = (event) => event.length", event: [1, 2, 3] });
  t.is((await ask("/inline/main", { body })).text, "3");
  const broken = await ask("/inline/main", { body: JSON.stringify({ code: "export const (" }) });
  t.deepEqual([broken.status, nameOf(broken)], [422, "BadCode"]);
});

test("errors have the status of their row, say whose fault they are, and when to try again", async (t) => {
  await platform.deploy("throws", 'export const handler = () => { throw new RangeError("out of lamps"); }');
  await platform.deploy("slow", "export const handler = (ms) => new Promise((resolve) => setTimeout(resolve, ms, ms))", {
    settings: { class: "rare", containers: 1 },
  });
  const thrown = await ask("/fn/main/throws");
  t.is(thrown.status, 500);
  t.like(JSON.parse(thrown.text), { name: "HandlerError", fault: "function", retry: "no", message: "RangeError: out of lamps" });
  t.regex(thrown.text, /RangeError/);
  const late = await ask("/fn/main/slow", { body: "30000", headers: { "pilot-timeout": "200" } });
  t.deepEqual([late.status, nameOf(late)], [504, "TimedOut"]);
  const first = ask("/fn/main/slow", { body: "2500" });
  await until(
    async () =>
      (await platform.fleet()).hosts.some(({ instances }) =>
        instances.some(({ containers }) => containers.some((one) => one.function === "slow" && one.state === "busy")),
      )
        ? true
        : undefined,
    "the first to run",
    15_000,
  );
  const full = await ask("/fn/main/slow", { body: "1", headers: { "pilot-deadline": "300" } });
  t.deepEqual([full.status, nameOf(full)], [429, "Throttled"]);
  t.regex(String(full.headers["retry-after"]), /^\d+$/);
  t.is((await first).text, "2500");
  for (const [path, status, name, asked] of [
    ["/fn/main/nothing", 404, "FunctionNotFound", {}],
    ["/fn/main/echo:blue", 404, "FunctionNotFound", {}],
    ["/fn/MAIN/echo", 400, "BadName", {}],
    ["/fn/main/echo/more", 404, "NotFound", {}],
    ["/fn/main", 404, "NotFound", {}],
    ["/elsewhere", 404, "NotFound", {}],
    ["/fn/main/echo?x=1", 400, "BadRequest", {}],
    ["/fn/main/%2e%2e", 400, "BadName", {}],
    [`/fn/main/${"x".repeat(600)}`, 400, "BadRequest", {}],
    ["/fn/main/echo", 400, "BadHeader", { headers: { "pilot-nonsense": "1" } }],
    ["/fn/main/echo", 400, "BadHeader", { headers: { "pilot-body": "x" } }],
    ["/fn/main/echo", 400, "BadHeader", { headers: { "pilot-memory": "-1" } }],
    ["/fn/main/echo", 405, "BadRequest", { method: "GET" }],
    ["/fn/main/echo", 405, "BadRequest", { method: "DELETE" }],
    ["/healthz", 405, "BadRequest", { method: "POST" }],
  ] as const) {
    const answer = await ask(path, asked);
    t.deepEqual([answer.status, nameOf(answer)], [status, name], path);
    t.is(answer.headers["allow"], status !== 405 ? undefined : path === "/healthz" ? "GET" : "POST");
  }
});

test("pages in a browser are not served without a token", async (t) => {
  for (const headers of [{ origin: "http://evil.example" }, { "sec-fetch-site": "cross-site" }, { host: "evil.example" }]) {
    const answer = await ask("/fn/main/echo", { headers });
    t.deepEqual([answer.status, nameOf(answer)], [403, "NotAllowed"]);
    t.is(answer.headers["access-control-allow-origin"], undefined);
  }
});

test("health tells that calls are answered", async (t) => {
  const { status, text } = await ask("/healthz", { method: "GET" });
  t.deepEqual([status, JSON.parse(text)], [200, { ready: true }]);
});

test("a body and a result of 10 MB pass; one above the last limit is refused, told or not", async (t) => {
  const body = Buffer.alloc(10_000_000, 0xe5);
  const large = await ask("/fn/main/echo", { body });
  t.is(large.status, 200, large.text.slice(0, 300));
  t.true(large.bytes.equals(body));
  t.is((await ask("/fn/main/echo", { body: Buffer.alloc(BODY_LIMIT + 1, 0xe5) })).bytes.length, BODY_LIMIT + 1);
  const told = await wire(t);
  told.socket.write(`POST /fn/main/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${LIMITS.largeBody.value + 1}\r\n\r\nxx`);
  await told.closed;
  t.regex(told.heard(), /^HTTP\/1\.1 413 /);
  const untold = await wire(t);
  untold.socket.write("POST /fn/main/echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
  const piece = Buffer.alloc(1 << 20, 0x61);
  for (let sent = 0; sent < 66 && !untold.socket.destroyed; sent++) {
    untold.socket.write(`${piece.length.toString(16)}\r\n`);
    untold.socket.write(piece);
    if (!untold.socket.write("\r\n")) await Promise.race([untold.closed, new Promise((resolve) => untold.socket.once("drain", resolve))]);
  }
  await untold.closed;
  t.regex(untold.heard(), /^HTTP\/1\.1 413 /);
  await works(t);
});

const stored = async (): Promise<number> => {
  const jsm = await platform.operator.nc.jetstreamManager();
  return (await jsm.streams.info("OBJ_pilot_bodies")).state.bytes;
};
const MB = 1_000_000;

test("64 MiB go through the gateway, which holds a few of them", async (t) => {
  t.timeout(120_000);
  const body = randomBytes(LIMITS.largeBody.value);
  let most = 0;
  let isOver = false;
  const watch = (async () => {
    while (!isOver) {
      const { held } = await platform.operator.bus.ask(inspectNode, ["gateway-1"], {});
      most = Math.max(most, held["requestBytes"] ?? 0);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  })();
  const answer = await ask("/fn/main/large", { body });
  isOver = true;
  await watch;
  t.is(answer.status, 200, answer.text.slice(0, 300));
  t.true(answer.bytes.equals(body));
  t.is(answer.headers["content-length"], String(body.length));
  t.true(most > 0 && most <= 6 * LIMITS.bodyPart.value, `${most} bytes were held`);
});

test("a client that leaves within a large body, or within a large result, leaves nothing in the store", async (t) => {
  t.timeout(90_000);
  await until(async () => ((await stored()) < MB ? true : undefined), "what other tests left to be gone", 20_000);
  const up = await wire(t);
  up.socket.write(`POST /fn/main/large HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${30 * MB}\r\n\r\n`);
  up.socket.write(Buffer.alloc(20 * MB, 1));
  await until(async () => ((await stored()) > 8 * MB ? true : undefined), "parts in the store", 20_000);
  up.socket.destroy();
  await until(async () => ((await stored()) < MB ? true : undefined), "the parts to be removed", 20_000);
  const down = await wire(t);
  down.socket.pause();
  const call = JSON.stringify({ bytes: 60 * MB });
  down.socket.write(`POST /fn/main/large HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${call.length}\r\n\r\n${call}`);
  await until(async () => ((await stored()) > 50 * MB ? true : undefined), "the result in the store", 30_000);
  down.socket.destroy();
  await until(async () => ((await stored()) < MB ? true : undefined), "the result to be removed", 20_000);
  await works(t);
});

test("a result that goes from the store while it is read ends as a broken body, never as a wrong one", async (t) => {
  t.timeout(90_000);
  const { socket, closed } = await wire(t);
  let got = 0;
  socket.on("data", (piece: string) => (got += piece.length));
  const call = JSON.stringify({ bytes: 60 * MB });
  socket.once("data", () => socket.pause());
  socket.write(`POST /fn/main/large HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${call.length}\r\n\r\n${call}`);
  await until(() => (got > 0 ? true : undefined), "the first bytes", 30_000);
  const jsm = await platform.operator.nc.jetstreamManager();
  await jsm.streams.purge("OBJ_pilot_bodies");
  socket.resume();
  await closed;
  t.true(got < 60 * MB, `${got} bytes came`);
  await works(t);
});

test("one connection serves many requests, also sent ahead, in their order", async (t) => {
  const { socket, heard } = await wire(t);
  const requestOf = (nth: number) =>
    `POST /fn/main/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${String(nth).length}\r\n\r\n${nth}`;
  socket.write(Array.from({ length: 20 }, (_, nth) => requestOf(nth)).join(""));
  await until(() => (heard().split("HTTP/1.1 200").length === 21 ? true : undefined), "all answers", 20_000);
  t.deepEqual(
    heard()
      .split("\r\n\r\n")
      .slice(1)
      .map((part) => Number.parseInt(part, 10)),
    Array.from({ length: 20 }, (_, nth) => nth),
  );
});

test("a client that goes away ends the run of its call", async (t) => {
  const { socket } = await wire(t);
  socket.write('POST /fn/main/long HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\n"gone"');
  const { call: id } = await until(
    async () => (await readLogs(platform.operator, "main", "long")).find((line) => line.text === "gone"),
    "the call to run",
    20_000,
  );
  socket.destroy();
  const record = await until(
    async () => (await platform.operator.bus.ask(showCall, [], { id: id ?? "" }).catch(() => undefined))?.call,
    "the record",
    15_000,
  );
  t.is(record.error, "Cancelled");
  await works(t);
});

test("what is no HTTP, headers without end, and uploads that stop leave others alone and nothing behind", async (t) => {
  const nonsense = await wire(t);
  nonsense.socket.write("PILOT / please\r\n\r\n");
  await nonsense.closed;
  t.regex(nonsense.heard(), /^HTTP\/1\.1 400 /);
  const headers = await wire(t);
  headers.socket.write(`POST /fn/main/echo HTTP/1.1\r\nHost: localhost\r\nX-Large: ${"x".repeat(LIMITS.httpHeaders.value + 1)}\r\n\r\n`);
  await headers.closed;
  t.regex(headers.heard(), /^HTTP\/1\.1 431 /);
  const smuggled = await wire(t);
  smuggled.socket.write(
    "POST /fn/main/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  );
  await smuggled.closed;
  t.regex(smuggled.heard(), /^HTTP\/1\.1 400 /);
  for (let nth = 0; nth < 20; nth++) {
    const { socket } = await wire(t);
    socket.write("POST /fn/main/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\nbegun");
    if (nth % 2 === 0) socket.destroy();
  }
  await works(t);
});

test("a connection that says nothing, and headers and a body that stop in the middle, are closed", async (t) => {
  t.timeout(60_000);
  const silent = await wire(t);
  const half = await wire(t);
  half.socket.write("POST /fn/main/echo HTTP/1.1\r\nHost: loc");
  const body = await wire(t);
  body.socket.write("POST /fn/main/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc");
  await Promise.all([silent.closed, half.closed, body.closed]);
  t.regex(half.heard(), /^HTTP\/1\.1 408 /);
  t.regex(body.heard(), /^HTTP\/1\.1 400 [\s\S]*too slowly/);
  await works(t);
});
