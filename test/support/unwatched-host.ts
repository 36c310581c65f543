/**
 * A host whose supervisor does not see it sleep: the real host is a child of this process, which beats in its place.
 * For tests of what a host does that was stopped for longer than the watchdog would allow.
 */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";

const host = fork(fileURLToPath(new URL("../../nodes/host.js", import.meta.url)), [], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
host.on("message", (message: { type?: string }) => {
  if (message.type !== "beat") process.send?.(message);
});
host.on("exit", (code) => process.exit(code ?? 1));
process.on("message", (message) => host.send(message as object));
process.on("disconnect", () => {
  host.kill("SIGKILL");
  process.exit(1);
});
setInterval(() => process.send?.({ type: "beat" }), 250);
