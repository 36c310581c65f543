/** `pilot doctor`: is everything there, how good is it, and does a real call work? */
import type { Connected } from "../../nodes/io/nats.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { RUNTIME_NAMES, type RuntimeName } from "../../protocol/runtimes.ts";
import { SUBJECT } from "../../protocol/subjects.ts";
import { localCommand } from "../command.ts";
import type { Cli } from "../context.ts";
import { type Finding, judgeBroker, judgeHost, judgeRoles, worst } from "../doctor.ts";
import { EXIT, Interrupted } from "../failure.ts";
import { CONNECTION, JSON_FLAG, on, type Values } from "../flags.ts";
import type { Host } from "../fleet.ts";
import { answer, milliseconds, table } from "../output.ts";
import { connected, settingsOf } from "../platform.ts";
import { withFunction } from "../publish.ts";

const DOCTOR_ACCOUNT = "pilot-doctor";

const CANARIES: Readonly<Record<RuntimeName, string>> = {
  node: "exports.handler = async (event) => ({ echo: event.word, runtime: process.version });",
  python: "def handler(event, context):\n    return {'echo': event['word']}\n",
};

const flags = { offline: on("make no canary call"), ...JSON_FLAG, ...CONNECTION };

export const doctor = localCommand({
  brief: "Check broker, roles, hosts and isolation, and make one real call per runtime",
  details: `The canary is a tiny function in the account ${DOCTOR_ACCOUNT}, removed afterwards. Exit code 3 when a check fails.`,
  examples: ["pilot doctor", "pilot doctor --json", "pilot doctor --server nats://nats.example:4222 --creds ops.creds"],
  flags,
  args: [],
  letters: { s: "server" },
  action: async (cli, given) => {
    const findings = await examine(cli, given);
    const verdict = worst(findings);
    // Advice stands below its row: beside it, the table would be wider than any terminal.
    const rows = findings.flatMap((row) => [
      [row.verdict, row.check, row.detail],
      ...(row.next === undefined ? [] : [["", "", `→ ${row.next}`]]),
    ]);
    await answer(cli, given.json, { verdict, findings }, () =>
      table(cli, ["VERDICT", "CHECK", "FOUND"], blank(rows), "nothing was checked"),
    );
    if (verdict === "fail") cli.exitCode = EXIT.platform;
  },
});

/** Spaces instead of nothing, which a table shows as a dash. */
const blank = (rows: readonly (readonly string[])[]): string[][] => rows.map((row) => row.map((cell) => cell || " "));

async function examine(cli: Cli, given: Values<typeof flags>): Promise<Finding[]> {
  const findings: Finding[] = [];
  try {
    const { origin } = await settingsOf(cli, given);
    await connected(cli, given, async (platform) => {
      const { pingServices, viewBroker } = await import("../../nodes/io/probe.ts");
      findings.push(...judgeBroker(await viewBroker(platform), origin));
      const services = await pingServices(platform, LIMITS.doctorPing.value);
      const { showFleet } = await import("../contracts.ts");
      const fleet = await platform.bus.ask(showFleet, [], {}).catch((thrown: unknown) => {
        findings.push({ check: "fleet", verdict: "fail", detail: Fault.from(thrown).message, next: "see the log of the scheduler" });
        return undefined;
      });
      findings.push(...judgeRoles(services, fleet?.nodes ?? []));
      for (const host of fleet?.hosts ?? []) findings.push(...judgeHost(host));
      for (const host of fleet?.silent ?? []) {
        findings.push({ check: host, verdict: "warn", detail: "is known and did not answer", next: "see the log of that host" });
      }
      if (fleet !== undefined && !given.offline) findings.push(...(await canaries(platform, fleet.hosts)));
    });
  } catch (thrown) {
    if (thrown instanceof Interrupted) throw thrown;
    const fault = Fault.from(thrown);
    const next =
      fault.name === "NotAllowed"
        ? "connect as the operator: --context, --creds or --user"
        : "start it with pilot up, or name it with --server";
    findings.push({ check: findings.length === 0 ? "connection" : "doctor", verdict: "fail", detail: fault.message, next });
  }
  return findings;
}

/** One real deploy and call in every runtime that a host offers. */
async function canaries(platform: Connected, hosts: readonly Host[]): Promise<Finding[]> {
  const offered = RUNTIME_NAMES.filter((runtime) => hosts.some((host) => Object.hasOwn(host.runtimes, runtime)));
  const found: Finding[] = [];
  for (const runtime of offered) found.push(await canary(platform, runtime));
  if (offered.length === 0)
    found.push({ check: "canary", verdict: "fail", detail: "no host offers a runtime", next: "see the log of the host" });
  return found;
}

async function canary(platform: Connected, runtime: RuntimeName): Promise<Finding> {
  const check = `canary ${runtime}`;
  const word = crypto.randomUUID();
  const order = { account: DOCTOR_ACCOUNT, name: `canary-${runtime}-${word.slice(0, 8)}` };
  try {
    return await withFunction(platform, CANARIES[runtime], runtime, order, async () => {
      const started = performance.now();
      const subject = SUBJECT.fn(order.account, order.name);
      const body = new TextEncoder().encode(JSON.stringify({ word }));
      const reply = await platform.caller.call(subject, body, { headers: { "Pilot-Trace": "1" }, timeoutMs: LIMITS.doctorCall.value });
      const took = milliseconds(performance.now() - started);
      const said = JSON.parse(new TextDecoder().decode(reply.body)) as { echo?: unknown };
      if (said.echo !== word) throw new Fault("Internal", "the canary answered something else than it was told");
      return {
        check,
        verdict: "ok",
        detail: `answered in ${took}, rung ${reply.headers["Pilot-Rung"] ?? "?"}, path ${reply.headers["Pilot-Path"] ?? "?"}`,
      };
    });
  } catch (thrown) {
    const fault = Fault.from(thrown);
    return { check, verdict: "fail", detail: `${fault.name}: ${fault.message}`, next: "see the log of the host in <store>/logs" };
  }
}
