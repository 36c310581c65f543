/** The floor's subscriber: `node floor-process.js <context file>`. */
import { resolveConnection } from "../../nodes/io/context.ts";
import { connect } from "../../nodes/io/nats.ts";
import { FLOOR_READY, FLOOR_SUBJECT } from "./floor.ts";

const settings = await resolveConnection({ context: process.argv[2] }, {});
const { nc } = await connect(settings, { name: "bench floor", role: "operator", node: "bench-floor" });
nc.subscribe(FLOOR_SUBJECT, {
  queue: "floor",
  callback(error, msg) {
    if (error === null) msg.respond(msg.data);
  },
});
await nc.flush();
process.stdout.write(`${FLOOR_READY}\n`);
void nc.closed().then(() => process.exit(0));
