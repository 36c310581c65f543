import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { getPriority } from "node:os";
import test from "ava";
import { goesFirst } from "../../nodes/io/precedence.ts";

const excuse =
  process.getuid?.() !== 0
    ? "not root"
    : existsSync(`/proc/${process.pid}/autogroup`)
      ? undefined
      : "the kernel does not share the processor out by sessions";
const title = "a process with precedence has it before other sessions too, and not only in its own";

if (excuse !== undefined) test.skip(`${title} (${excuse})`, () => {});
else
  test(title, async (t) => {
    const child = spawn("sleep", ["60"], { stdio: "ignore", detached: true });
    await once(child, "spawn");
    t.teardown(() => child.kill("SIGKILL"));
    const before = getPriority(child.pid);
    goesFirst(child.pid);
    t.is(getPriority(child.pid), -10);
    t.not(before, -10);
    t.regex(readFileSync(`/proc/${child.pid}/autogroup`, "utf8"), /nice -5$/m);
    // This process leads another session, which keeps what it had.
    t.notRegex(readFileSync(`/proc/${process.pid}/autogroup`, "utf8"), /nice -5$/m);
  });
