/** `up` in a process of its own with pretend nodes, to be killed: `node up-alone.js <store>`. Prints one line of JSON when ready. */
import { fileURLToPath } from "node:url";
import { up } from "../../nodes/up.ts";

const running = await up({
  store: process.argv[2] ?? "",
  port: 0,
  entry: () => fileURLToPath(new URL("./pretend-node.js", import.meta.url)),
});
const pids = ["broker", "scheduler-1", "frontend-1", "host-1"].map((name) => running.pidOf(name));
process.stdout.write(`${JSON.stringify({ nats: running.nats, pids })}\n`);
