/** A connection of a node that answers what comes for host-1 with what it got: `node answering-node.js URL USER PASSWORD`. */
import { connect } from "../../nodes/io/nats.ts";
import { SUBJECT } from "../../protocol/subjects.ts";

const [url = "", user = "", password = ""] = process.argv.slice(2);
const { bus, nc } = await connect(
  { servers: [url], user, password },
  { name: "host-1 calls", role: "host", node: "host-1", patient: true, asks: true },
);
bus.listen(SUBJECT.host("host-1"), {}, ({ reply, body }) => bus.send(reply, body));
// As nodes do, it says something now and then.
setInterval(() => bus.send(SUBJECT.announce("host", "host-1"), new Uint8Array(1)), 100);
await nc.flush();
process.send?.("ready");
process.on("disconnect", () => process.exit(0));
