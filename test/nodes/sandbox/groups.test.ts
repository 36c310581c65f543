import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { type GroupHandle, SHARES } from "../../../nodes/io/sandbox/groups.ts";
import { findGroups, openGroups } from "../../../nodes/io/sandbox/open-groups.ts";

const NAME = { instance: "one", container: "c" };

/** What the kernel says of the group's weight, by the file of either version. */
function weightOf(root: string): string {
  const first = join("/sys/fs/cgroup/cpu", `${root}.${NAME.instance}.${NAME.container}`, "cpu.shares");
  const path = existsSync(first) ? first : join("/sys/fs/cgroup", root, NAME.instance, NAME.container, "cpu.weight");
  return readFileSync(path, "latin1").trim();
}

for (const by of ["agent", "spawner"] as const) {
  test(`what the ${by} kills ends with the share of an ordinary process, whatever its group had`, async (t) => {
    const root = `pilot-test-${process.pid}-${by}`;
    const groups = openGroups(findGroups(root), root);
    if (groups === undefined) return t.pass("there are no control groups here");
    const child = spawn("sleep", ["600"], { stdio: "ignore" });
    const exited = once(child, "exit");
    let handle: GroupHandle | undefined;
    t.teardown(async () => {
      child.kill("SIGKILL");
      await exited;
      handle?.close();
      groups.remove(NAME);
      groups.removeInstance(NAME.instance);
      groups.removeRoot();
    });
    groups.create(NAME, 64, SHARES.background);
    handle = groups.open(NAME);
    const background = weightOf(root);
    handle.weigh(SHARES.dying);
    const ordinary = weightOf(root);
    handle.weigh(SHARES.background);
    t.is(weightOf(root), background);
    t.not(ordinary, background);
    groups.adopt(NAME, child.pid ?? 0);
    if (by === "agent") handle.kill();
    else groups.kill(NAME);
    t.deepEqual(await exited, [null, "SIGKILL"]);
    t.is(weightOf(root), ordinary);
  });
}
