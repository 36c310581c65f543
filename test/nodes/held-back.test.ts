/** What is held back while it is not known whether the connection stands, on a real broker. */
import test from "ava";
import { connect } from "nats";
import { HeldBack } from "../../nodes/io/held-back.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { serveForeign } from "../support/foreign-server.ts";
import { until } from "../support/until.ts";

test("an answer that the broker will not take keeps none back that was held after it", async (t) => {
  const server = await serveForeign(t, "max_payload: 1024");
  const nc = await connect({ servers: server.url });
  t.teardown(() => nc.close());
  const heard: string[] = [];
  nc.subscribe("answer", { callback: (_, message) => heard.push(message.string()) });
  let isSteady = false;
  const held = new HeldBack(nc, { isConnected: () => true, isSteady: () => isSteady, dropped: () => t.fail() });
  held.answer("answer", Buffer.from("first"));
  held.answer("answer", Buffer.alloc(2_048));
  held.answer("answer", Buffer.from("last"));
  isSteady = true;
  t.notThrows(() => held.send());
  await nc.flush();
  await until(() => heard.length === 2, "the two that fit");
  t.deepEqual(heard, ["first", "last"]);
});

test("what is more than may be held is dropped, and told once the connection is back", async (t) => {
  const server = await serveForeign(t, "max_payload: 1024");
  const nc = await connect({ servers: server.url });
  t.teardown(() => nc.close());
  let heard = 0;
  nc.subscribe("answer", { callback: () => heard++ });
  const line = { connected: false, told: [] as number[] };
  const held = new HeldBack(nc, {
    isConnected: () => line.connected,
    isSteady: () => true,
    dropped: (count) => line.told.push(count),
  });
  for (let nth = 0; nth < LIMITS.lateReplies.value + 3; nth++) held.answer("answer", Buffer.from("x"));
  t.deepEqual(line.told, []);
  line.connected = true;
  held.send();
  held.send();
  await nc.flush();
  await until(() => heard === LIMITS.lateReplies.value, "all that were held");
  t.deepEqual(line.told, [3]);
});
