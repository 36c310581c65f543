/** A whole agent as a process of its own, to be killed by a test: opens a sandbox, starts containers, says what a box has open, and waits. */
import { type KindName, openHostile, Victim } from "./hostile.ts";

const [kind = "bubblewrap", runDirectory = "", cgroupRoot = ""] = process.argv.slice(2);
const { sandbox } = await openHostile(kind as KindName, { runDirectory, cgroupRoot });
const open = await (await Victim.start(sandbox, "node")).run(
  `const fs = require("fs"); return fs.readdirSync("/proc/self/fd").map((fd) => { try { return fs.readlinkSync("/proc/self/fd/" + fd); } catch { return ""; } })`,
);
for (const runtime of ["node", "python"] as const) {
  const victim = await Victim.start(sandbox, runtime);
  victim.start("for(;;);\n".repeat(runtime === "node" ? 1 : 0) || "while True: pass");
}
if (sandbox.isolation.network !== "none") await Victim.start(sandbox, "node", { network: true });
process.stdout.write(`${JSON.stringify(open)}\n`);
setInterval(() => {}, 1_000);
