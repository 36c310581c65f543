/** `pilot instance`, `container`, `cache`: what there is on the hosts now. */
import { command, noun } from "../command.ts";
import { type Cli, note } from "../context.ts";
import { JSON_FLAG, on, value } from "../flags.ts";
import { answer, bytes, milliseconds, table } from "../output.ts";
import { ask } from "../platform.ts";
import { name } from "../values.ts";

/** Hosts that did not answer are missing from the table: say so. */
export function noteSilent(cli: Cli, silent: readonly string[]): void {
  if (silent.length > 0) note(cli, `pilot: no answer from ${silent.join(", ")}: what is there is not shown`);
}

const onlyAccount = value(name, "NAME", "only those of this account");

const instances = command({
  brief: "List instances",
  details: "A warm instance is booted and belongs to nobody; an active one belongs to one account.",
  examples: ["pilot instance ls", "pilot instance ls --warm", "pilot instance ls --account shop --json"],
  flags: { warm: on("only warm ones"), active: on("only active ones"), account: onlyAccount, ...JSON_FLAG },
  args: [],
  action: async (cli, flags) => {
    const fleet = await ask(cli, flags, (all) => all.showFleet, {});
    const all = fleet.hosts
      .flatMap((host) => host.instances)
      .filter((row) => (!flags.warm || row.state === "warm") && (!flags.active || row.state === "active"))
      .filter((row) => flags.account === undefined || row.account === flags.account);
    const rows = all.map((row) => [
      row.id,
      row.host,
      row.state,
      row.account ?? "",
      row.runtimeVersion || row.runtime,
      row.class,
      `${row.usedMb}/${row.memoryMb} MB`,
      row.containers.length,
      row.code.length,
    ]);
    noteSilent(cli, fleet.silent);
    await answer(cli, flags.json, all, () =>
      table(cli, ["INSTANCE", "HOST", "STATE", "ACCOUNT", "RUNTIME", "CLASS", "USED", "CONTAINERS", "CODES"], rows, "no instances"),
    );
  },
});

const containers = command({
  brief: "List containers",
  details: "A spare is booted and blank; the others have loaded one version of one function.",
  examples: ["pilot container ls", "pilot container ls --account shop --json"],
  flags: { account: onlyAccount, ...JSON_FLAG },
  args: [],
  action: async (cli, flags) => {
    const fleet = await ask(cli, flags, (all) => all.showFleet, {});
    const all = fleet.hosts
      .flatMap((host) => host.instances)
      .flatMap((instance) => instance.containers.map((row) => ({ host: instance.host, instance: instance.id, ...row })))
      .filter((row) => flags.account === undefined || row.account === flags.account);
    const rows = all.map((row) => [
      row.id,
      row.instance,
      row.host,
      row.state,
      row.account,
      row.function === undefined ? "" : `${row.function}@${row.version ?? "?"}`,
      row.memoryMb === undefined ? "" : `${row.memoryMb} MB`,
      row.cpu === undefined ? "" : row.cpu.toFixed(3),
      row.calls,
      row.idleMs === undefined ? "" : milliseconds(row.idleMs),
    ]);
    noteSilent(cli, fleet.silent);
    await answer(cli, flags.json, all, () =>
      table(
        cli,
        ["CONTAINER", "INSTANCE", "HOST", "STATE", "ACCOUNT", "FUNCTION", "MEMORY", "CPU", "CALLS", "IDLE"],
        rows,
        "no containers",
      ),
    );
  },
});

const cached = command({
  brief: "List the code on the disks of the hosts",
  details: "IN USE counts the loads that read it now.",
  examples: ["pilot cache ls", "pilot cache ls --json"],
  flags: JSON_FLAG,
  args: [],
  action: async (cli, flags) => {
    const fleet = await ask(cli, flags, (all) => all.showFleet, {});
    const all = fleet.hosts.flatMap((host) => host.cache.map((row) => ({ host: host.id, ...row })));
    const rows = all.map((row) => [row.host, row.digest.slice(0, 12), bytes(row.bytes), row.uses]);
    noteSilent(cli, fleet.silent);
    const downloads = fleet.hosts.map((host) => ({ host: host.id, downloads: host.downloads }));
    await answer(cli, flags.json, { entries: all, downloads }, async () => {
      table(cli, ["HOST", "DIGEST", "SIZE", "IN USE"], rows, "no code on any host");
      for (const row of downloads) note(cli, `${row.host}: ${row.downloads} downloads since it started`);
    });
  },
});

export const instance = noun(
  "Sandboxed compartments on the hosts",
  ["pilot instance ls", "pilot instance ls --warm"],
  { ls: instances },
  { list: "ls" },
);
export const container = noun("Processes with one loaded function each", ["pilot container ls"], { ls: containers }, { list: "ls" });
export const cache = noun("Code on the disks of the hosts", ["pilot cache ls"], { ls: cached }, { list: "ls" });
