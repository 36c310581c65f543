/** `pilot host`: the machines that run functions: what they have, and taking them out of service. */
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { command, noun } from "../command.ts";
import { type Cli, line, note } from "../context.ts";
import { argument, type ConnectionValues, JSON_FLAG, valueOr } from "../flags.ts";
import type { Host } from "../fleet.ts";
import { counts } from "../fleet.ts";
import { answer, bytes, fields, milliseconds, table } from "../output.ts";
import { ask, connected } from "../platform.ts";
import { id, timeout } from "../values.ts";
import { noteSilent } from "./fleet.ts";

const which = argument(id, "HOST", "id of the host, as pilot host ls shows it");

const stateOf = (host: Host): string => (host.cordoned === true ? "cordoned" : host.draining ? "draining" : "ready");

/** Containers by state: "idle 3, busy 1". */
function containersOf(host: Host): string {
  const states: Record<string, number> = {};
  for (const { state } of host.instances.flatMap(({ containers }) => containers)) states[state] = (states[state] ?? 0) + 1;
  return counts(states);
}

const ls = command({
  brief: "List hosts",
  details: "A cordoned host takes nothing new until it is uncordoned; a draining one ends when its calls have.",
  examples: ["pilot host ls", "pilot host ls --json"],
  flags: JSON_FLAG,
  args: [],
  action: async (cli, flags) => {
    const { hosts, silent } = await ask(cli, flags, (all) => all.showFleet, {});
    noteSilent(cli, silent);
    const found = hosts.map((host) => ({
      id: host.id,
      state: stateOf(host),
      epoch: host.epoch,
      memoryMb: host.memoryMb,
      usedMb: host.usedMb,
      cores: host.cores,
      instances: host.instances.length,
      warm: host.instances.filter(({ state }) => state === "warm").length,
      containers: containersOf(host),
      grants: host.grants.length,
      sandbox: host.isolation.kind,
      runtimes: host.runtimes,
    }));
    const rows = found.map((host) => [
      host.id,
      host.state,
      `${host.usedMb}/${host.memoryMb} MB`,
      host.cores,
      host.instances,
      host.warm,
      host.containers,
      host.grants,
      host.sandbox,
    ]);
    const head = ["HOST", "STATE", "USED", "CORES", "INSTANCES", "WARM", "CONTAINERS", "GRANTS", "SANDBOX"];
    await answer(cli, flags.json, { hosts: found, silent }, () => table(cli, head, rows, "no hosts"));
  },
});

const show = command({
  brief: "Show one host",
  examples: ["pilot host show host-1", "pilot host show host-1 --json"],
  flags: JSON_FLAG,
  args: [which],
  action: async (cli, flags, host) => {
    const found = await connected(cli, flags, async ({ bus }) => {
      const { describeHost } = await import("../contracts.ts");
      return bus.ask(describeHost, [host], {}).catch((thrown: unknown) => Promise.reject(absent(thrown, host)));
    });
    await answer(cli, flags.json, found, async () => {
      await fields(cli, [
        ["host", found.id],
        ["state", stateOf(found)],
        ["epoch", found.epoch],
        ["memory", `${found.usedMb} of ${found.memoryMb} MB`],
        ["cores", found.cores],
        ["runtimes", Object.values(found.runtimes).join(", ")],
        ["sandbox", found.isolation.kind],
        ["network", found.isolation.network],
        ["instances", counts(countBy(found.instances.map(({ state }) => state)))],
        ["containers", containersOf(found)],
        ["code", `${bytes(found.cache.reduce((sum, one) => sum + one.bytes, 0))} in ${found.cache.length} bundles`],
        ["grants", found.grants.map(({ account, function: name }) => `${account}.${name}`).join(", ")],
      ]);
      for (const gap of found.isolation.gaps) note(cli, `pilot: isolation: ${gap}`);
      line(cli);
      const rows = found.functions.map((row) => [
        `${row.account}.${row.function}@${row.version}`,
        row.calls,
        row.direct,
        counts(row.rungs),
        counts(row.failures),
        milliseconds(row.runMs.p50),
        milliseconds(row.runMs.p99),
      ]);
      table(cli, ["FUNCTION", "CALLS", "DIRECT", "RUNGS", "FAILURES", "P50", "P99"], rows, "no calls since it started");
    });
  },
});

const countBy = (words: readonly string[]): Record<string, number> => {
  const found: Record<string, number> = {};
  for (const word of words) found[word] = (found[word] ?? 0) + 1;
  return found;
};

async function setCordon(cli: Cli, flags: ConnectionValues & { readonly json: boolean }, host: string, cordoned: boolean): Promise<void> {
  const reply = await connected(cli, flags, async ({ bus }) => {
    const { cordonHost } = await import("../contracts.ts");
    return bus.ask(cordonHost, [host], { cordoned }).catch((thrown: unknown) => Promise.reject(absent(thrown, host)));
  });
  await answer(cli, flags.json, { host, ...reply }, () =>
    line(cli, cordoned ? `${host} takes nothing new; pilot host uncordon ${host} undoes it` : `${host} takes calls again`),
  );
}

const cordon = command({
  brief: "Let a host take nothing new; what runs and what is warm stays",
  details: "It holds over a restart of the host, until pilot host uncordon.",
  examples: ["pilot host cordon host-1"],
  flags: JSON_FLAG,
  args: [which],
  action: (cli, flags, host) => setCordon(cli, flags, host, true),
});

const uncordon = command({
  brief: "Let a cordoned host take calls again",
  examples: ["pilot host uncordon host-1"],
  flags: JSON_FLAG,
  args: [which],
  action: (cli, flags, host) => setCordon(cli, flags, host, false),
});

/** Pause between two questions to a draining host. */
const ASK_MS = 250;
/** What a host may need to end when its calls have, and how long it may say nothing. */
const END_MS = LIMITS.drain.value;

const drain = command({
  brief: "Stop a host in order, from afar: it takes nothing new, finishes its calls and ends",
  details:
    "Its supervisor (pilot up or pilot node run) does not start it again, and ends when none of its nodes is left. The command returns\nwhen the host is gone. Ctrl-C leaves it draining.",
  examples: ["pilot host drain host-2", "pilot host drain host-2 --timeout 5m"],
  flags: {
    timeout: valueOr(timeout, "DURATION", `${LIMITS.drain.value / 1_000}s`, "how long running calls may go on before they are ended"),
    ...JSON_FLAG,
  },
  args: [which],
  action: async (cli, flags, host) => {
    const began = performance.now();
    let most = 0;
    await connected(cli, flags, async ({ bus }) => {
      const { drainHost } = await import("../contracts.ts");
      let told: number | undefined;
      for (let asked = 0; ; asked += 1) {
        const reply = await bus.ask(drainHost, [host], { waitMs: flags.timeout }, 2_000).catch((thrown: unknown) => Fault.from(thrown));
        if (!(reply instanceof Fault)) {
          most = Math.max(most, reply.left);
          if (reply.left !== told && !flags.json) note(cli, `${host}: ${reply.left === 1 ? "1 call" : `${reply.left} calls`} left`);
          told = reply.left;
        } else if (asked === 0) throw absent(reply, host);
        else if (reply.name === "Unavailable" && /^no node answers/.test(reply.message)) return;
        if (performance.now() - began > flags.timeout + END_MS)
          throw new Fault("Unavailable", `${host} has not ended in ${milliseconds(flags.timeout + END_MS)}`, {
            next: `Look at the log of ${host}.`,
          });
        await new Promise((resolve) => setTimeout(resolve, ASK_MS));
      }
    });
    const tookMs = performance.now() - began;
    await answer(cli, flags.json, { host, gone: true, calls: most, tookMs }, () => line(cli, `${host} is gone (${milliseconds(tookMs)})`));
  },
});

function absent(thrown: unknown, host: string): unknown {
  const { name, message } = Fault.from(thrown);
  if (name !== "Unavailable" || !/^no node answers/.test(message)) return thrown;
  return new Fault("NotFound", `there is no host ${host}`, { next: "pilot host ls lists those that are there." }, thrown);
}

export const host = noun(
  "The machines that run functions",
  ["pilot host ls", "pilot host cordon host-1", "pilot host drain host-1"],
  { ls, show, cordon, uncordon, drain },
  { list: "ls" },
);
