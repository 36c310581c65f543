/** A node in the network namespace of its own id, as namespaces.ts made it: the real node is a child of this process, in there. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { namespaceOf } from "./namespaces.ts";

const entry = fileURLToPath(new URL(`../../nodes/${process.env["PILOT_ROLE"] ?? ""}.js`, import.meta.url));
const words = [`--net=${namespaceOf(process.env["PILOT_NODE"] ?? "")}`, process.execPath, "--enable-source-maps", entry];
const node = spawn("nsenter", words, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
node.on("message", (message) => process.send?.(message));
node.on("exit", (code) => process.exit(code ?? 1));
process.on("message", (message) => node.send(message as object));
process.on("disconnect", () => {
  node.kill("SIGKILL");
  process.exit(1);
});
