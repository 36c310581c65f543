/** `pilot doctor`: is everything there, how good is it, and does a real call work? */
import type { Connected } from "../../nodes/io/nats.ts";
import type { Presence } from "../../nodes/io/presence.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { DOCTOR_ACCOUNT } from "../../protocol/names.ts";
import { canaries } from "../canary.ts";
import { localCommand } from "../command.ts";
import type { Cli } from "../context.ts";
import { judgeBroker, judgeEdge, judgeHost, judgeProtocols, judgeRoles, judgeSilent, worst } from "../doctor.ts";
import { checked, type Finding, fail } from "../examine/finding.ts";
import { askNodes, judgeNodes } from "../examine/nodes.ts";
import { judgeStorage } from "../examine/storage.ts";
import { EXIT, Interrupted } from "../failure.ts";
import { CONNECTION, JSON_FLAG, on, type Values } from "../flags.ts";
import { answer, table, wrapped } from "../output.ts";
import { connected, settingsOf } from "../platform.ts";

const flags = { offline: on("make no canary call"), ...JSON_FLAG, ...CONNECTION };

export const doctor = localCommand({
  brief: "Check broker, storage, nodes and isolation, and make real calls on each host and over each path",
  details: `Every scheduler, frontend and host is proved by itself. The canaries are tiny functions in the account ${DOCTOR_ACCOUNT}, removed afterwards. A check that hangs is named, and the others are made all the same. Exit code 3 when a check fails.`,
  examples: ["pilot doctor", "pilot doctor --json", "pilot doctor --server nats://nats.example:4222 --creds ops.creds"],
  flags,
  args: [],
  letters: { s: "server" },
  action: async (cli, given) => {
    const findings = await examine(cli, given);
    const verdict = worst(findings);
    // Advice stands below its row: beside it, the table would be wider than any terminal.
    const room = roomFor(cli, findings);
    const rows = findings.flatMap((row) => [
      ...wrapped(row.detail, room).map((text, nth) => (nth === 0 ? [row.verdict, row.check, text] : ["", "", text])),
      ...(row.next === undefined ? [] : wrapped(`→ ${row.next}`, room).map((text) => ["", "", text])),
    ]);
    await answer(cli, given.json, { verdict, findings }, () =>
      table(cli, ["VERDICT", "CHECK", "FOUND"], blank(rows), "nothing was checked"),
    );
    if (verdict === "fail") cli.exitCode = EXIT.platform;
  },
});

/** What a terminal leaves for the last column; in a file or pipe a finding is one line. */
function roomFor({ stdout }: Cli, findings: readonly Finding[]): number {
  if (stdout.isTTY !== true || stdout.columns === undefined) return Number.POSITIVE_INFINITY;
  return Math.max(30, stdout.columns - Math.max(5, ...findings.map(({ check }) => check.length)) - "verdict".length - 4);
}

/** Spaces instead of nothing, which a table shows as a dash. */
const blank = (rows: readonly (readonly string[])[]): string[][] => rows.map((row) => row.map((cell) => cell || " "));

/** Every check that can be made; what cannot be made is a finding. Rejects with Interrupted only. */
export async function examine(cli: Cli, given: Values<typeof flags>): Promise<Finding[]> {
  const findings: Finding[] = [];
  let presence: Presence | undefined;
  try {
    const settings = await settingsOf(cli, given);
    await connected(
      cli,
      given,
      async (platform) => {
        const { pingServices, viewBroker, viewEdge } = await import("../../nodes/io/probe.ts");
        const view = await viewBroker(platform);
        const program = await programOf(cli, view.url);
        findings.push(
          ...judgeBroker(view, settings.origin, program),
          judgeEdge(await viewEdge(settings), program?.startsWith("the server") === false),
        );
        const { watchPresence } = await import("../../nodes/io/presence.ts");
        presence = watchPresence(platform);
        const services = await pingServices(platform, LIMITS.doctorPing.value);
        const { showFleet } = await import("../contracts.ts");
        const fleet = await platform.bus.ask(showFleet, [], {}).catch((thrown: unknown) => {
          findings.push({ check: "fleet", verdict: "fail", detail: Fault.from(thrown).message, next: "see the log of the scheduler" });
          return undefined;
        });
        findings.push(...judgeRoles(services, fleet?.nodes ?? []), ...judgeProtocols(services));
        // Nodes of protocol 1 say nothing of themselves.
        const mute = new Set(services.filter(({ protocol }) => protocol < 2).map(({ node }) => node));
        for (const host of fleet?.hosts ?? []) findings.push(...judgeHost(host));
        findings.push(...judgeSilent(fleet?.silent ?? [], fleet?.lost ?? []));
        findings.push(...(await storage(platform)));
        if (fleet === undefined) return;
        const ids = (role: string): string[] => fleet.nodes.filter((node) => node.role === role).map(({ id }) => id);
        const speaking = (nodes: readonly string[]): string[] => nodes.filter((id) => !mute.has(id));
        // Who has just given no answer is not asked again.
        const known = await askNodes(
          platform,
          speaking(fleet.nodes.map(({ id }) => id)).filter((id) => !fleet.silent.includes(id)),
        );
        findings.push(...judgeNodes(known));
        const patient = {
          hosts: fleet.hosts,
          // One of protocol 1 has no desk of its own.
          frontends: speaking(ids("frontend")),
          schedulers: ids("scheduler"),
          gateways: known.asked.flatMap(({ node }) => (node.address === undefined ? [] : [{ id: node.node, url: node.address }])),
          direct: view.features.dropsHungClients,
        };
        if (cli.signal.aborted) throw new Interrupted("interrupted");
        if (!given.offline) findings.push(...(await canaries(platform, patient, presence, cli.signal)));
      },
      true,
    );
  } catch (thrown) {
    if (thrown instanceof Interrupted) throw thrown;
    const fault = Fault.from(thrown);
    const known = fault.details?.["next"];
    const next = typeof known === "string" ? known : "start it with pilot up, or name it with --server";
    findings.push({ check: findings.length === 0 ? "connection" : "doctor", verdict: "fail", detail: fault.message, next });
  } finally {
    await presence?.close();
  }
  return findings;
}

async function storage(platform: Connected): Promise<Finding[]> {
  const found: Finding[] = [];
  const next = "connect as the operator; see the server's log";
  const failed = await checked("storage", LIMITS.control.value, next, async () => {
    const { viewStreams } = await import("../../nodes/io/streams.ts");
    found.push(...judgeStorage(await viewStreams(platform)));
    return found[0] ?? fail("storage", "nothing was found", next);
  });
  return found.length > 0 ? found : [failed];
}

/** Where the nats-server of a platform on this machine came from. */
async function programOf(cli: Cli, url: string): Promise<string | undefined> {
  const { listRunning } = await import("../../nodes/io/running.ts");
  const entries = await listRunning({ ...cli.env });
  return entries.find((entry) => entry.nats.endsWith(`//${url}`))?.brokerOrigin;
}
