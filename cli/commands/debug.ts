/** `pilot debug bundle`: everything that somebody needs who was not there, in one file, and no secret. */
import { Fault } from "../../protocol/errors.ts";
import { VERSION } from "../../protocol/version.ts";
import { localCommand, noun } from "../command.ts";
import { type Cli, note } from "../context.ts";
import { worst } from "../doctor.ts";
import { CONNECTION, JSON_FLAG, on, text, value } from "../flags.ts";
import { answer, bytes, table } from "../output.ts";
import { connected, settingsOf } from "../platform.ts";
import { examine } from "./doctor.ts";

const flags = {
  out: value(text, "FILE", "where it is written; default: pilot-debug-TIME.zip in the working directory"),
  store: value(text, "DIR", "store whose logs are added; default: that of the platform on this machine that is connected to"),
  offline: on("make no canary call"),
  ...JSON_FLAG,
  ...CONNECTION,
};

const bundle = localCommand({
  brief: "Write one zip with everything that helps to find a fault",
  details:
    "It holds what doctor finds, the fleet, each node from inside, metrics, the registry (no code; of environment variables the names only), limits, what the broker says of itself, and the ends of the logs of a store on this machine. Passwords, tokens, credentials and values of environment variables are struck out. A file that is there is not overwritten.",
  examples: ["pilot debug bundle", "pilot debug bundle --out fault.zip --store /var/lib/pilotlight"],
  flags,
  args: [],
  letters: { s: "server" },
  action: async (cli, given) => {
    const { readLogs, readSecrets, refuseExisting, writeZip } = await import("../../nodes/io/debug-files.ts");
    const made = new Date().toISOString();
    const path = given.out ?? `pilot-debug-${made.replaceAll(/[-:]|\.\d+/g, "")}.zip`;
    await refuseExisting(path);
    const settings = await settingsOf(cli, given);
    const store = given.store ?? (await storeOf(cli, settings.servers));
    note(cli, "pilot: looking at everything; this takes some seconds");
    const findings = await examine(cli, given);
    const [{ collect }, { scrubber }] = await Promise.all([import("../debug/collect.ts"), import("../debug/scrub.ts")]);
    const found = await connected(cli, given, collect).catch((thrown: unknown) => ({
      parts: [],
      missing: [{ name: "everything of the platform", why: Fault.from(thrown).message }],
      secrets: [],
    }));
    const logs = store === undefined ? [] : await readLogs(store);
    const { password, token, nkeySeed, jwt, creds } = settings;
    const ours = [password, token, nkeySeed, jwt, creds].filter((secret) => secret !== undefined);
    const scrub = scrubber([...ours, ...found.secrets, ...(store === undefined ? [] : await readSecrets(store))]);
    const manifest = { made, command: VERSION, store: store ?? null, missing: found.missing };
    const parts = [
      { name: "manifest.json", text: JSON.stringify(manifest, undefined, 2) },
      { name: "doctor.json", text: JSON.stringify({ verdict: worst(findings), findings }, undefined, 2) },
      ...found.parts,
      ...logs.map((file) => ({ name: `logs/${file.name}`, text: file.text })),
    ].map((part) => ({ name: part.name, text: scrub(part.text) }));
    const size = await writeZip(path, parts);
    const shown = parts.map((part) => ({ name: part.name, bytes: Buffer.byteLength(part.text) }));
    await answer(cli, given.json, { path, bytes: size, parts: shown, missing: found.missing }, () => {
      table(
        cli,
        ["PART", "SIZE"],
        shown.map((part) => [part.name, bytes(part.bytes)]),
        "nothing",
      );
      for (const { name, why } of found.missing) note(cli, `pilot: ${name} is missing: ${why}`);
      if (store === undefined) note(cli, "pilot: no store on this machine, so no logs: give --store, or add those of the other machines");
      note(cli, `pilot: wrote ${path}, ${bytes(size)}; read it before you pass it on`);
    });
  },
});

/** The store of the running `pilot up` of this machine whose broker that is. */
async function storeOf(cli: Cli, servers: readonly string[]): Promise<string | undefined> {
  const { listRunning } = await import("../../nodes/io/running.ts");
  const entries = await listRunning({ ...cli.env });
  return entries.find(({ nats }) => servers.some((server) => server.endsWith(nats.replace(/^.*\/\//, ""))))?.store;
}

export const debug = noun("Help in finding faults", ["pilot debug bundle"], { bundle });
