/** The HTTP server by itself: whom it lets in, what it bounds, how it stops. */

import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { connect as dial } from "node:net";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import test, { type ExecutionContext } from "ava";
import { readHttpAddress } from "../../actors/gateway/address.ts";
import { Gathered } from "../../nodes/io/gathered.ts";
import { type HttpRoute, openHttp } from "../../nodes/io/http.ts";
import type { Upload } from "../../nodes/io/http-body.ts";
import { readTokens } from "../../nodes/io/http-token.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { recordLog } from "../support/record-log.ts";
import { temporaryDirectory } from "../support/temp.ts";
import { until } from "../support/until.ts";

const TOKEN = "a-token-of-many-characters";

async function tokenFile(t: ExecutionContext, text: string): Promise<string> {
  const path = join(await temporaryDirectory(t), "token");
  await writeFile(path, text, { mode: 0o600 });
  return path;
}

async function wholeOf(body: Uint8Array | Upload): Promise<Uint8Array> {
  if (body instanceof Uint8Array) return body;
  const gathered = new Gathered();
  for await (const piece of body.pieces) gathered.add(piece);
  return gathered.whole();
}

const echo: HttpRoute = {
  method: "POST",
  path: "/echo/*",
  async serve(request) {
    return { status: 200, headers: {}, body: await wholeOf(await request.body()) };
  },
};
const open: HttpRoute = { method: "GET", path: "/open", isOpen: true, serve: async () => ({ status: 200, headers: {}, body: "open" }) };

async function serve(t: ExecutionContext, routes: readonly HttpRoute[], path?: string) {
  const log = recordLog();
  const token = path === undefined ? undefined : await readTokens(path);
  const server = await openHttp({ address: readHttpAddress("127.0.0.1:0"), token, routes, log });
  t.teardown(() => server.stop());
  const port = Number(new URL(server.url).port);
  const ask = (way: string, headers: Record<string, string> = {}, method = "POST", body = "") =>
    new Promise<{ status: number; headers: IncomingHttpHeaders; text: string }>((resolve, reject) => {
      const sent = httpRequest({ host: "127.0.0.1", port, path: way, method, headers, agent: false }, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (piece: string) => (text += piece));
        response.on("error", reject).on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
      });
      sent.on("error", reject);
      sent.end(body);
    });
  return { server, log, port, ask };
}

test("with a token only who gives it is let in, whatever path is asked, and no answer or log line has it", async (t) => {
  const { ask, log } = await serve(t, [echo, open], await tokenFile(t, `${TOKEN}\nanother-token-of-the-file\n`));
  t.is((await ask("/echo/x", { authorization: `Bearer ${TOKEN}` }, "POST", "in")).text, "in");
  t.is((await ask("/echo/x", { authorization: "bearer another-token-of-the-file", host: "elsewhere.example" }, "POST", "in")).text, "in");
  for (const authorization of [
    "",
    "Bearer",
    "Bearer ",
    TOKEN,
    `Basic ${TOKEN}`,
    `Bearer ${TOKEN}x`,
    `Bearer ${TOKEN.slice(1)}`,
    "Bearer x y",
  ]) {
    const answer = await ask("/echo/x", { authorization });
    t.is(answer.status, 401, authorization);
    t.is(answer.headers["www-authenticate"], "Bearer");
    t.false(answer.text.includes(TOKEN));
  }
  t.is((await ask("/echo/x")).status, 401);
  t.is((await ask("/nothing")).status, 401);
  t.is((await ask("/open", {}, "GET")).text, "open");
  t.false(JSON.stringify(log).includes(TOKEN));
});

test("a token file that is missing, empty or has no token is refused", async (t) => {
  await t.throwsAsync(readTokens("/nowhere/token"), { name: "BadRequest", message: /cannot be read/ });
  for (const text of ["", "\n", "short", `${TOKEN}\nshort`, "with blanks in the middle of it"])
    await t.throwsAsync(readTokens(await tokenFile(t, text)), { name: "BadRequest" });
});

test("beyond the loopback nothing is listened at without a token", async (t) => {
  const options = { token: undefined, routes: [echo], log: recordLog() };
  await t.throwsAsync(openHttp({ ...options, address: readHttpAddress("0.0.0.0:0") }), { name: "NotAllowed", message: /needs a token/ });
  const guarded = await openHttp({ ...options, address: readHttpAddress("0.0.0.0:0"), token: () => false });
  await guarded.stop();
  const { port } = await serve(t, [echo]);
  await t.throwsAsync(openHttp({ ...options, address: readHttpAddress(`127.0.0.1:${port}`) }), {
    name: "BadRequest",
    message: /EADDRINUSE/,
  });
});

test("a stop waits for what runs, takes nothing new, and ends", async (t) => {
  let finish = (): void => undefined;
  let running = 0;
  const slow: HttpRoute = {
    method: "POST",
    path: "/slow",
    async serve() {
      running += 1;
      await new Promise<void>((resolve) => void (finish = resolve));
      return { status: 200, headers: {}, body: "done" };
    },
  };
  const { server, port, ask } = await serve(t, [slow]);
  const idle = dial(port, "127.0.0.1");
  t.teardown(() => idle.destroy());
  const closed = new Promise((resolve) => idle.once("close", resolve));
  const answer = ask("/slow");
  await until(() => (running === 1 ? true : undefined), "the request to run");
  const stopped = server.stop();
  await t.throwsAsync(ask("/slow"), { message: /ECONNREFUSED|ECONNRESET|socket hang up/ });
  finish();
  t.is((await answer).text, "done");
  await stopped;
  await closed;
});

test("a fault of ours is told without what is inside, and logged", async (t) => {
  const broken: HttpRoute = { method: "POST", path: "/broken", serve: () => Promise.reject(new TypeError("secret detail of ours")) };
  const { ask } = await serve(t, [broken]);
  const { status, text } = await ask("/broken");
  t.is(status, 500);
  t.is((JSON.parse(text) as { name: string }).name, "Internal");
});

test("bodies that have no room are refused and results wait for it, and both are let in again afterwards", async (t) => {
  const held: (() => void)[] = [];
  const waiting: HttpRoute = {
    method: "POST",
    path: "/wait",
    async serve(request) {
      if (held.length < 4) request.hold(LIMITS.httpBytes.value / 4);
      else await request.room(LIMITS.largeBody.value);
      await new Promise<void>((resolve) => held.push(resolve));
      return { status: 200, headers: {}, body: "" };
    },
  };
  const { server, ask } = await serve(t, [waiting, echo]);
  const first = Array.from({ length: 4 }, () => ask("/wait"));
  await until(() => (held.length === 4 ? true : undefined), "four to wait");
  const refused = await ask("/echo/x", {}, "POST", "one byte too many");
  t.is(refused.status, 429);
  t.is(refused.headers["retry-after"], "1");
  const fifth = ask("/wait");
  for (const release of held.splice(0)) release();
  for (const { status } of await Promise.all(first)) t.is(status, 200);
  await until(() => (held.length === 1 ? true : undefined), "the fifth to have room", 15_000);
  held[0]?.();
  t.is((await fifth).status, 200);
  await until(() => (server.counters()["heldBytes"] === 0 ? true : undefined), "nothing to be held", 15_000);
  t.is((await ask("/echo/x", {}, "POST", "again")).text, "again");
});

test("a client that goes away fires the signal of its request", async (t) => {
  let reason: unknown;
  const waiting: HttpRoute = {
    method: "POST",
    path: "/wait",
    serve: ({ signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => reject((reason = signal.reason)))),
  };
  const { port, server } = await serve(t, [waiting]);
  const socket = dial(port, "127.0.0.1");
  socket.write("POST /wait HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
  await until(() => (server.counters()["open"] === 1 ? true : undefined), "the request to run");
  socket.destroy();
  await until(() => (reason !== undefined ? true : undefined), "the signal");
  t.true(reason instanceof Fault && reason.name === "Cancelled");
});

test("a client that does not read its reply is disconnected, and what it held is free", async (t) => {
  t.timeout(60_000);
  const large: HttpRoute = {
    method: "POST",
    path: "/large",
    serve: async () => ({ status: 200, headers: {}, body: new Uint8Array(LIMITS.largeBody.value) }),
  };
  const { port, server } = await serve(t, [large]);
  const socket = dial(port, "127.0.0.1");
  t.teardown(() => socket.destroy());
  socket.pause();
  socket.write("POST /large HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
  await until(() => (server.counters()["heldBytes"] === LIMITS.largeBody.value ? true : undefined), "the reply to wait", 15_000);
  await until(() => (server.counters()["heldBytes"] === 0 ? true : undefined), "the connection to be given up", 45_000);
  t.is(server.counters()["open"], 0);
});

test("a path that cannot be decoded is refused like any other", async (t) => {
  const { ask } = await serve(t, [echo]);
  const { status, text } = await ask("/echo/%zz");
  t.is(status, 400);
  t.is((JSON.parse(text) as { name: string }).name, "BadRequest");
});

test("a body in a million tiny pieces takes about as much memory as it has bytes", async (t) => {
  t.timeout(120_000);
  const holding: HttpRoute = {
    method: "POST",
    path: "/hold",
    async serve(request) {
      const { length } = await wholeOf(await request.body());
      return { status: 200, headers: {}, body: String(length) };
    },
  };
  const { port, server } = await serve(t, [holding]);
  const socket = dial(port, "127.0.0.1");
  t.teardown(() => socket.destroy());
  socket.write("POST /hold HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
  const before = process.memoryUsage().heapUsed;
  const tiny = "1\r\nx\r\n".repeat(10_000);
  for (let sent = 0; sent < 100; sent++) await new Promise<void>((resolve) => socket.write(tiny, () => resolve()));
  await until(() => (server.counters()["heldBytes"] === 1_000_000 ? true : undefined), "the pieces to arrive", 60_000);
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  // Other tests hold large buffers meanwhile, which are not in the heap.
  const grown = process.memoryUsage().heapUsed - before;
  socket.end("0\r\n\r\n");
  const [answer] = (await once(socket, "data")) as [Buffer];
  t.regex(answer.toString(), /1000000$/);
  t.true(grown < 40_000_000, `${grown} bytes`);
});

test("a large body is read no quicker than it is asked for, and little of it is held", async (t) => {
  let goOn = (): void => undefined;
  let got = 0;
  const slow: HttpRoute = {
    method: "POST",
    path: "/slow",
    async serve(request) {
      const body = await request.body();
      if (body instanceof Uint8Array) throw new TypeError("a large body came whole");
      for await (const piece of body.pieces) {
        got += piece.length;
        if (got === piece.length) await new Promise<void>((resolve) => void (goOn = resolve));
      }
      request.release();
      return { status: 200, headers: {}, body: String(got) };
    },
  };
  const { port, server } = await serve(t, [slow]);
  const socket = dial(port, "127.0.0.1");
  t.teardown(() => socket.destroy());
  const size = 32 << 20;
  socket.write(`POST /slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${size}\r\n\r\n`);
  let sent = 0;
  const piece = Buffer.alloc(1 << 20);
  // What the system holds for both sides is a few MiB; then the client has to wait.
  while (sent < size && socket.write(piece)) sent += piece.length;
  await until(() => (got > 0 ? true : undefined), "the first piece");
  t.true((server.counters()["heldBytes"] ?? 0) < 7 << 20);
  goOn();
  for (sent += piece.length; sent < size; sent += piece.length)
    if (!socket.write(piece)) await new Promise((resolve) => socket.once("drain", resolve));
  const [answer] = (await once(socket, "data")) as [Buffer];
  t.true(answer.toString().endsWith(`\r\n\r\n${size}`), answer.toString());
  await until(() => (server.counters()["heldBytes"] === 0 ? true : undefined), "nothing to be held");
});

test("a streamed reply that fails is broken off, and one whose client leaves is closed", async (t) => {
  let closed = 0;
  const stream = (pieces: () => AsyncGenerator<Uint8Array>): HttpRoute["serve"] => {
    return async () => ({ status: 200, headers: {}, body: { bytes: 20 << 20, pieces: pieces(), close: () => void (closed += 1) } });
  };
  const broken: HttpRoute = {
    method: "POST",
    path: "/broken",
    serve: stream(async function* () {
      yield new Uint8Array(19 << 20);
      throw new Fault("BodyUnavailable", "another digest");
    }),
  };
  const short: HttpRoute = {
    method: "POST",
    path: "/short",
    serve: stream(async function* () {
      yield new Uint8Array(1);
    }),
  };
  const whole: HttpRoute = {
    method: "POST",
    path: "/whole",
    serve: stream(async function* () {
      for (let part = 0; part < 20; part++) yield new Uint8Array(1 << 20);
    }),
  };
  const { ask, port, server } = await serve(t, [broken, short, whole]);
  await t.throwsAsync(ask("/broken"), { code: "ECONNRESET" });
  await t.throwsAsync(ask("/short"), { code: "ECONNRESET" });
  t.is((await ask("/whole")).text.length, 20 << 20);
  const socket = dial(port, "127.0.0.1");
  socket.write("POST /whole HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
  await once(socket, "data");
  socket.pause();
  socket.destroy();
  await until(() => (closed === 4 ? true : undefined), "all to be closed");
  await until(() => (server.counters()["open"] === 0 ? true : undefined), "no request to be open");
  t.is(server.counters()["heldBytes"], 0);
});
