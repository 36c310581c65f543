/**
 * A node whose supervisor does not see it sleep: the real node of PILOT_ROLE is a child of this process, which beats in its place.
 * For tests of what a node does that was stopped for longer than the watchdog would allow.
 */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";

const entry = new URL(`../../nodes/${process.env["PILOT_ROLE"] ?? ""}.js`, import.meta.url);
const node = fork(fileURLToPath(entry), [], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
node.on("message", (message: { type?: string }) => {
  if (message.type !== "beat") process.send?.(message);
});
node.on("exit", (code) => process.exit(code ?? 1));
process.on("message", (message) => node.send(message as object));
process.on("disconnect", () => {
  node.kill("SIGKILL");
  process.exit(1);
});
setInterval(() => process.send?.({ type: "beat" }), 250);
