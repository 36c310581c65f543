/** What the nodes say of themselves, compared with one another: clocks, versions, servers, lateness. */
import type { Connected } from "../../nodes/io/nats.ts";
import { LIMITS } from "../../protocol/limits.ts";
import type { NodeInspection } from "../../protocol/messages/inspect.ts";
import { VERSION } from "../../protocol/version.ts";
import { milliseconds } from "../output.ts";
import { type Finding, fail, ok, warn } from "./finding.ts";

/** A node's own word, and how far its clock is from ours, to the half of the round trip. */
export interface Asked {
  readonly node: NodeInspection;
  readonly skewMs: number;
  readonly doubtMs: number;
}

export interface AskedNodes {
  readonly asked: readonly Asked[];
  readonly silent: readonly string[];
}

/** Event loops that are this late keep calls waiting. */
const LATE_MS = 250;

/** All at once; those that do not answer are named. Never rejects. */
export async function askNodes(platform: Connected, nodes: readonly string[]): Promise<AskedNodes> {
  const { inspectNode } = await import("../contracts.ts");
  const answers = await Promise.allSettled(
    nodes.map(async (node): Promise<Asked> => {
      const before = Date.now();
      const said = await platform.bus.ask(inspectNode, [node], {});
      const after = Date.now();
      return { node: said, skewMs: said.at - (before + after) / 2, doubtMs: (after - before) / 2 };
    }),
  );
  const asked = answers.flatMap((answer) => (answer.status === "fulfilled" ? [answer.value] : []));
  const there = new Set(asked.map(({ node }) => node.node));
  return { asked, silent: nodes.filter((node) => !there.has(node)) };
}

export function judgeNodes({ asked, silent }: AskedNodes): Finding[] {
  const found = silent.map((node) =>
    fail(`${node} answers`, "is known, and does not answer on its control connection", `see the log of ${node}; end it if it hangs`),
  );
  if (asked.length === 0) return found;
  return [...found, judgeClocks(asked), judgeVersions(asked), ...asked.flatMap(judgeNode)];
}

function judgeClocks(asked: readonly Asked[]): Finding {
  const sorted = [...asked].sort((a, b) => a.skewMs - b.skewMs);
  const [first, last] = [sorted[0], sorted.at(-1)];
  if (first === undefined || last === undefined) return ok("clocks", "nobody to compare");
  const apart = last.skewMs - first.skewMs;
  const doubt = first.doubtMs + last.doubtMs;
  const detail = `${milliseconds(apart)} apart at most, seen to ${milliseconds(doubt)}`;
  if (apart - doubt <= LIMITS.clockSkew.value) return ok("clocks", detail);
  const who = `${last.node.node} is before ${first.node.node}`;
  return warn(
    "clocks",
    `${detail}: ${who}`,
    "run a time service on every machine; records and log lines of several nodes are out of order",
  );
}

function judgeVersions(asked: readonly Asked[]): Finding {
  const by = new Map<string, string[]>();
  for (const { node } of asked) by.set(node.version, [...(by.get(node.version) ?? []), node.node]);
  const said = [...by].map(([version, nodes]) => `${version}: ${nodes.sort().join(", ")}`).join("; ");
  if (by.size > 1) return warn("versions", said, "finish the upgrade; two releases side by side are meant for its duration");
  const [only = VERSION] = by.keys();
  if (only !== VERSION) return warn("versions", `nodes are of ${only}, this command of ${VERSION}`, "use the command of the same release");
  return ok("versions", `all nodes are of ${only}`);
}

function judgeNode({ node: { node, process: cost, actors, limits } }: Asked): Finding[] {
  const found: Finding[] = [];
  if (cost.loopDelayMs.p99 > LATE_MS)
    found.push(warn(`${node} load`, `its event loop is late by ${milliseconds(cost.loopDelayMs.p99)} at p99`, "see what else runs there"));
  const failed = actors.filter(({ state }) => state === "failed").map(({ id }) => id);
  if (failed.length > 0) found.push(fail(`${node} machines`, `failed: ${failed.join(", ")}`, `pilot inspect ${node}, and its log`));
  const hit = Object.entries(limits).filter(([name]) => ALARMING.has(name));
  if (hit.length > 0) {
    const said = hit.map(([name, count]) => `${name} ${count}`).join(", ");
    found.push(
      warn(`${node} limits`, `were hit since it started: ${said}`, "pilot limits says what happens there; pilot top shows who asks"),
    );
  }
  return found;
}

/** Limits at which calls or answers are lost to somebody; others are hit in the course of things. */
const ALARMING: ReadonlySet<string> = new Set(["heldBytes", "waitingCalls", "handedOn", "lateReplies", "hostSilence"]);
