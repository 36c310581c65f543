/**
 * The spawner: a small process that starts every box of an agent, so that no fork ever copies the agent's memory map,
 * and does the control group work that can block. It holds no decision and no secret.
 *
 * I1  Its death ends every box (their parent-death signal); its agent's death ends it.
 * I2  A box is reported as gone only when no process and no group of it is left.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { goesAsOthers } from "../precedence.ts";
import { BoxChild } from "./box-child.ts";
import { clearGroup, until } from "./clear.ts";
import { killAll } from "./group-files.ts";
import { SHARES } from "./groups.ts";
import { closeInherited } from "./inherited.ts";
import { openGroups } from "./open-groups.ts";
import type { Order, Report, SpawnerSetup } from "./orders.ts";
import { innerPid, processTable, strays, treeOf } from "./process-table.ts";
import { sweep } from "./sweep.ts";

type Asked<Kind extends Order["do"]> = Extract<Order, { do: Kind }>;

goesAsOthers();
const setup = JSON.parse(process.argv[2] ?? "{}") as SpawnerSetup;
const groups = openGroups(setup.groups, setup.groupRoot);
const boxes = new Map<string, BoxChild>();

function report(what: Report): void {
  if (process.connected) process.send?.(what, undefined, undefined, () => {});
  if (what.is === "gone") boxes.delete(what.id);
}

async function answer(
  order: Order & { ask: number },
  work: () => Promise<Omit<Extract<Report, { is: "answer" }>, "is" | "ask">>,
): Promise<void> {
  try {
    report({ is: "answer", ask: order.ask, ...(await work()) });
  } catch (error) {
    report({ is: "answer", ask: order.ask, error: (error as Error).message });
  }
}

/** Finds a fork among its zygote's processes and gives it a group of its own. */
async function adopt(order: Asked<"adopt">): Promise<{ pid: number }> {
  const zygote = boxes.get(order.zygote);
  if (zygote?.pid === undefined) throw new Error("its zygote is gone");
  const candidates = groups === undefined ? treeOf(zygote.pid, processTable()).map((row) => row.pid) : groups.members(zygote.group);
  const pid = candidates.find(
    // Its pid, as the host sees it, may be that of a fork inside.
    (candidate) =>
      candidate !== zygote.carrier && (innerPid(candidate) === order.innerPid || (groups === undefined && candidate === order.innerPid)),
  );
  if (pid === undefined) throw new Error(`no process ${order.innerPid} in its box`);
  groups?.create(order.group, order.instanceMb, SHARES.background);
  groups?.adopt(order.group, pid);
  return { pid };
}

async function clear(order: Asked<"clear">): Promise<{ oomKills: number; output: string }> {
  const oomKills = groups?.oomKills(order.group) ?? 0;
  if (groups === undefined && order.pid !== undefined) killAll(treeOf(order.pid, processTable()).map((row) => row.pid));
  const complaint = await clearGroup(groups, order.group);
  if (complaint !== undefined) throw new Error(complaint);
  return { oomKills, output: boxes.get(order.box)?.output() ?? "" };
}

async function clearInstance(order: Asked<"clearInstance">): Promise<Record<string, never>> {
  const complaint = groups && (await until(() => groups.removeInstance(order.instance), `group ${order.instance} could not be removed`));
  if (groups === undefined) await until(() => endStrays(order.directory), "strays are left");
  await rm(order.directory, { recursive: true, force: true });
  if (complaint !== undefined) throw new Error(complaint);
  return {};
}

/** True when there are none (any more). */
function endStrays(directory: string): boolean {
  const found = strays(directory);
  killAll(found);
  return found.length === 0;
}

process.on("message", (order: Order) => {
  switch (order.do) {
    case "box": {
      const box = new BoxChild(order, groups, report);
      boxes.set(order.id, box);
      box.start(setup.socket);
      break;
    }
    case "adopt":
      void answer(order, () => adopt(order));
      break;
    case "clear":
      void answer(order, () => clear(order));
      break;
    case "clearInstance":
      void answer(order, () => clearInstance(order));
      break;
    case "kill":
      boxes.get(order.id)?.kill();
      break;
    case "beat":
      report({ is: "beat" });
      break;
  }
});

// The agent is gone: nobody else removes what it left until another one starts.
process.on("disconnect", () => {
  for (const box of boxes.values()) box.kill();
  void sweep(groups, setup.runDirectory).finally(() => process.exit(0));
});
// A terminal's Ctrl-C reaches the whole group; the agent alone decides when boxes end.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});

// 3 is the agent's channel; in a box it becomes the box's own.
closeInherited(4);
// Boxes that were only starting when an earlier spawner died may have missed it. None of ours exists yet.
if (groups === undefined) await until(() => endStrays(join(setup.runDirectory, "i")), "strays are left");
report({ is: "up" });
