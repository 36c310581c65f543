import test from "ava";
import { type BrokerConfig, brokerConfig } from "../../../nodes/io/broker/config.ts";
import { LIMITS } from "../../../protocol/limits.ts";

const CONFIG: BrokerConfig = {
  version: "2.14.0",
  port: 0,
  serverName: "pilotlight",
  storeDirectory: "/a b/data",
  files: { portsDirectory: "/a b/run", pidFile: "/a b/run/server.pid", logFile: "/a b/server.log" },
  users: [
    { user: "operator", password: "o", role: "operator", node: "operator" },
    { user: "host-1", password: "h", role: "host", node: "host-1" },
    { user: "anonymous", password: "a", role: "anonymous", node: "anonymous" },
  ],
  system: { user: "system", password: "s" },
};

test("the server listens on the loopback only, drops hung clients, and knows our limits", (t) => {
  const text = brokerConfig(CONFIG);
  t.regex(text, /^host: "127\.0\.0\.1"$/m);
  t.regex(text, /^port: -1$/m);
  t.regex(text, /^ping_interval: "1s"$/m);
  t.regex(text, /^write_deadline: "2s"$/m);
  t.regex(text, new RegExp(`^max_payload: ${LIMITS.brokerPayload.value}$`, "m"));
  t.regex(text, new RegExp(`^max_subscriptions: ${LIMITS.brokerSubscriptions.value}$`, "m"));
  t.regex(text, new RegExp(`^max_connections: ${LIMITS.brokerConnections.value}$`, "m"));
  t.regex(text, new RegExp(`^max_pending: ${LIMITS.brokerPending.value}$`, "m"));
  // Else a burst of large bodies has the frontend dropped long before it could refuse what is too much.
  t.true(LIMITS.brokerPending.value >= LIMITS.heldBytes.value);
});

test("who gives no credential is the anonymous, and without that user nobody is let in so", (t) => {
  t.regex(brokerConfig(CONFIG), /^no_auth_user: "anonymous"$/m);
  const without = { ...CONFIG, users: CONFIG.users.filter(({ role }) => role !== "anonymous") };
  t.notRegex(brokerConfig(without), /no_auth_user/);
});

test("a node's rights name that node and no other", (t) => {
  const line =
    brokerConfig(CONFIG)
      .split("\n")
      .find((one) => one.includes('user: "host-1"')) ?? "";
  t.regex(line, /"_pilot\.host\.host-1"/);
  t.notRegex(line, /_pilot\.host\.\*/);
});

test("a 2.9 server is not given settings that it does not know", (t) => {
  const old = brokerConfig({ ...CONFIG, version: "2.9.10" });
  t.notRegex(old, /sync_interval|logfile_max_num/);
  t.regex(brokerConfig(CONFIG), /sync_interval: "2s"/);
  t.regex(brokerConfig({ ...CONFIG, syncAlways: true }), /sync_interval: always/);
});

test("quotes in a path stay inside their text, and control characters are refused", (t) => {
  t.regex(brokerConfig({ ...CONFIG, storeDirectory: '/a"b\\c' }), /store_dir: "\/a\\"b\\\\c"/);
  t.throws(() => brokerConfig({ ...CONFIG, storeDirectory: "/a\n}" }), { instanceOf: RangeError });
});
