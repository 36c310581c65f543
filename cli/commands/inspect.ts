/** `pilot inspect`: one node from inside, or one machine on it: state, last transitions, reasons. */
import { Fault } from "../../protocol/errors.ts";
import type { NodeInspection } from "../../protocol/messages/inspect.ts";
import { command } from "../command.ts";
import { type Cli, line } from "../context.ts";
import { Usage } from "../failure.ts";
import { argument, JSON_FLAG } from "../flags.ts";
import { answer, bytes, fields, milliseconds, table, time } from "../output.ts";
import { connected } from "../platform.ts";

interface Target {
  readonly node: string;
  readonly actor: string | undefined;
}

/** `host-1`, `host-1/instance/abc`, `scheduler-1/manager/busy`. */
function targetOf(text: string): Target {
  const [, node = "", actor] = /^([A-Za-z0-9_-]{1,64})(?:\/([A-Za-z0-9_./-]{1,120}))?$/.exec(text) ?? [];
  if (node === "")
    throw new Usage(`${text} names no machine`, "write NODE, such as host-1, or NODE/MACHINE, such as host-1/instance/abc-1");
  return { node, actor };
}

export const inspect = command({
  brief: "Show a node from inside, or one state machine on it",
  details:
    "ACTOR is a node (pilot node ls), or NODE/MACHINE, such as host-1/instance/ID. A node remembers the last transitions of each of its machines, with their reasons, and for a while those of machines that are over.",
  examples: ["pilot inspect host-1", "pilot inspect scheduler-1 --json", "pilot inspect host-1/instance/abc123-0"],
  flags: JSON_FLAG,
  args: [argument(targetOf, "ACTOR", "NODE or NODE/MACHINE")],
  action: (cli, flags, { node, actor }) =>
    connected(cli, flags, async (platform) => {
      const { inspectNode, showFleet } = await import("../contracts.ts");
      const asked = platform.bus.ask(inspectNode, [node], actor === undefined ? {} : { actor });
      const found = await asked.catch(async (thrown: unknown) => {
        if (Fault.from(thrown).name !== "Unavailable") throw thrown;
        const { nodes } = await platform.bus.ask(showFleet, [], {});
        const there = nodes.map(({ id }) => id).sort();
        if (there.includes(node))
          throw new Fault("Unavailable", `${node} is known and does not answer`, { next: `Look at the log of ${node}.` });
        throw new Fault("NotFound", `there is no node ${node}`, { next: `There are: ${there.join(", ") || "none"}.` });
      });
      await answer(cli, flags.json, found, () => show(cli, found, actor !== undefined));
    }),
});

async function show(cli: Cli, found: NodeInspection, isOne: boolean): Promise<void> {
  if (!isOne) await showNode(cli, found);
  const rows = found.actors.map(({ id, machine, state, since, gone, transitions }) => {
    const last = transitions.at(-1);
    return [id, machine, gone ? `${state}, gone` : state, time(since), last?.event, last?.reason];
  });
  table(cli, ["MACHINE", "KIND", "STATE", "SINCE", "LAST EVENT", "REASON"], rows, "no machines");
  if (found.actorsLeft > 0) line(cli, `and ${found.actorsLeft} more: name one`);
  // Of a whole node only what is not one of many.
  for (const { id, transitions } of found.actors.filter((one) => isOne || !one.id.startsWith("instance/"))) {
    line(cli);
    line(cli, `transitions of ${id}`);
    const steps = transitions.map(({ at, from, to, event, reason }) => [time(at), from, to, event, reason]);
    table(cli, ["AT", "FROM", "TO", "EVENT", "REASON"], steps, "none");
  }
}

async function showNode(cli: Cli, { process: cost, ...found }: NodeInspection): Promise<void> {
  await fields(cli, [
    ["node", `${found.node} (${found.role})`],
    ["version", found.version],
    ["epoch", found.epoch],
    ["up", milliseconds(found.uptimeMs)],
    ["broker", found.servers.calls === found.servers.control ? found.servers.control : `${found.servers.calls}, ${found.servers.control}`],
    ["reconnects", cost.reconnects],
    ["process", `${cost.pid}, ${bytes(cost.memoryBytes)}, ${cost.cpuSeconds.toFixed(1)} s of cpu`],
    ["event loop", `late by ${milliseconds(cost.loopDelayMs.p99)} at p99, ${milliseconds(cost.loopDelayMs.max)} at most`],
    ["holds", listed(found.held)],
    ["counters", listed(found.counters)],
    ["limits hit", listed(found.limits)],
  ]);
  if (found.waits.length > 0) {
    line(cli);
    const rows = found.waits.map(({ key, memoryMb, waitedMs, reason }) => [key, `${memoryMb} MB`, milliseconds(waitedMs), reason]);
    table(cli, ["WAITS", "MEMORY", "FOR", "WHY"], rows, "");
  }
  line(cli);
}

function listed(counts: Readonly<Record<string, number>>): string {
  const present = Object.entries(counts).filter(([, count]) => count > 0);
  return present.map(([name, count]) => `${name} ${count}`).join(", ") || "nothing";
}
