/** Sending answers to clients that take their time. */
import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import test from "ava";
import { sendReply } from "../../nodes/io/http-send.ts";
import { until } from "../support/until.ts";

test("a client that reads a little now and then is disconnected when its time is over", async (t) => {
  let isClosed = false;
  let read = 0;
  const server = createServer((request, response) => {
    response.on("close", () => (isClosed = true));
    sendReply(request, response, { status: 200, headers: {}, body: new Uint8Array(32 << 20) }, false, 500);
  }).listen(0, "127.0.0.1");
  t.teardown(() => server.close());
  await once(server, "listening");
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1").on("error", () => undefined);
  t.teardown(() => socket.destroy());
  socket.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const onData = (piece: Buffer): void => {
    read += piece.length;
    socket.pause();
  };
  const drip = setInterval(() => socket.resume().once("data", onData), 20);
  t.teardown(() => clearInterval(drip));
  // It is never idle for as long as idle ones are kept.
  await until(() => (isClosed ? true : undefined), "the connection to be closed", 10_000);
  t.true(read > 0 && read < 32 << 20, `${read} bytes`);
});
