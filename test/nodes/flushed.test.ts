import test from "ava";
import { connect } from "nats";
import { flushed } from "../../nodes/io/flushed.ts";
import { startTestBroker } from "../support/nats-server.ts";

test("a broker that goes away and comes back while it is to hear of subscriptions is waited for; a closed connection is not", async (t) => {
  const broker = await startTestBroker(t);
  const nc = await connect({ ...broker.credentials("operator"), reconnectTimeWait: 20, maxReconnectAttempts: -1 });
  t.teardown(() => nc.close());
  // A stopped server answers nothing, so the question is open when it dies.
  process.kill(broker.pid(), "SIGSTOP");
  const known = flushed(nc);
  await broker.crash();
  await t.notThrowsAsync(known);

  await nc.close();
  await t.throwsAsync(flushed(nc), { message: /CONNECTION_CLOSED/ });
});
