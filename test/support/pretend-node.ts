/**
 * A node that only pretends: it keeps the supervisor's protocol and does as `<store>/run/<node>.does` says:
 * nothing special, `crash` (at once), `fatal`, `freeze` (its loop stops after it was ready), `stubborn` (does not drain),
 * `over` (was asked to stop for good after it was ready), `conflict` (finds another of its id then).
 */
import { readFileSync } from "node:fs";
import { readRoleEnvironment } from "../../nodes/supervisor/role-environment.ts";

const { node, store } = readRoleEnvironment(process.env);
const does = (() => {
  try {
    return readFileSync(`${store}/run/${node}.does`, "utf8");
  } catch {
    return "";
  }
})();

process.on("disconnect", () => process.exit(0));
process.on("message", (message: { type?: string }) => {
  if (message.type === "drain" && does !== "stubborn") process.exit(0);
});
if (does === "crash") throw new Error("it crashed on purpose");
if (does === "fatal") {
  process.send?.({ type: "fatal", message: "this cannot work" }, () => process.exit(1));
} else {
  setInterval(() => process.send?.({ type: "beat" }), 100);
  process.send?.({ type: "ready" }, () => {
    // Frozen for longer than the watchdog waits, but not for ever, should the watchdog fail.
    if (does === "over") setTimeout(() => process.send?.({ type: "over" }, () => process.exit(0)), 300);
    if (does === "conflict")
      setTimeout(() => process.send?.({ type: "fatal", message: "another has this id", name: "Conflict" }, () => process.exit(1)), 300);
    if (does === "freeze") Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60_000);
  });
}
