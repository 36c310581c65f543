import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import test, { type ExecutionContext } from "ava";
import { judgeEdge } from "../../cli/doctor.ts";
import { viewEdge } from "../../nodes/io/probe.ts";

/** Greets as a NATS server does, and answers whatever comes with one line, then closes. */
async function greets(t: ExecutionContext, answer: string): Promise<string> {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    const info = { server_id: "s", version: "2.10.0", proto: 1, headers: true, max_payload: 1_048_576, auth_required: true };
    socket.write(`INFO ${JSON.stringify(info)}\r\n`);
    socket.once("data", () => socket.end(answer));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.teardown(() => server.close());
  return `nats://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test("that nobody is let in without a credential is said only of a server that refused one who had none", async (t) => {
  const refuses = await greets(t, "-ERR 'Authorization Violation'\r\n");
  t.is(await viewEdge({ servers: [refuses] }), "refused");
  t.is(judgeEdge("refused", false).verdict, "ok");
  const hangsUp = await greets(t, "");
  t.is(await viewEdge({ servers: [hangsUp] }), "unknown");
  t.is(await viewEdge({ servers: ["nats://127.0.0.1:1"] }), "unknown");
  t.is(judgeEdge("unknown", false).verdict, "warn");
});
