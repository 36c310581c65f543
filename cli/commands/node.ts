/** `pilot node`: the processes of the platform, on this machine and on all. */
import { NODE_ROLES } from "../../protocol/subjects.ts";
import { command, localCommand, noun } from "../command.ts";
import { line, note } from "../context.ts";
import { defined } from "../defined.ts";
import { badChoice, cureOf, Interrupted, printable, Usage } from "../failure.ts";
import { CONNECTION, choice, JSON_FLAG, on, text, value, values } from "../flags.ts";
import { answer, milliseconds, table } from "../output.ts";
import { connected, settingsOf } from "../platform.ts";
import { rollCall } from "../roll-call.ts";
import { idPart, integer, roles, timeout, warmth } from "../values.ts";

const run = localCommand({
  brief: "Run nodes on this machine for a broker that runs elsewhere, until Ctrl-C",
  details:
    'Each role is a process of its own; a scheduler must be somewhere before the others are ready. With --store the credentials that\npilot up wrote there are used; with --contexts those of pilot cluster init; else one credential serves all roles of this process.\nWith --json the first line on stdout is {"nodes":[…],"nats":…,"pid":…} once they are ready. What was named and cannot be had ends it with 2.',
  examples: [
    "pilot node run --roles host --store ~/.local/share/pilotlight/default",
    "pilot node run --roles frontend,scheduler,host --contexts cluster/contexts",
    "pilot node run --roles host --hosts 2 --server nats://nats-1,nats://nats-2 --creds host.creds --direct on",
  ],
  flags: {
    roles: value(roles, "ROLE[,…]", `what to run: ${NODE_ROLES.join(", ")}; needed`),
    name: value(idPart, "TEXT", "last part of the nodes' ids; default: this machine's name and a mark"),
    store: value(text, "DIR", "join the cluster that pilot up started there"),
    contexts: value(text, "DIR", "directory with a NATS context file for each role"),
    data: value(text, "DIR", "where the nodes keep run files, code and logs; default: in the user's data directory"),
    temporary: on("keep nothing: the directory is removed in the end"),
    hosts: value(integer(1, 16), "N", "how many host agents; default: 1"),
    memory: value(
      integer(64, 16_777_216),
      "MB",
      "memory that the functions of each host may have together; default: three quarters of the machine's, divided among them",
    ),
    warm: values(warmth, "RUNTIME=N[,…]", "how many instances of a runtime each host keeps warm"),
    sandbox: choice(["auto", "bubblewrap", "process"], "how functions are separated; process is no protection"),
    direct: choice(["on", "off"], "hosts answer busy functions themselves; needs ping_interval 1s and ping_max 2 at the broker"),
    replicas: value(integer(1, 5), "N", "servers that keep each stream; default: 3 in a cluster of three, else 1"),
    drain: value(timeout, "DURATION", "how long a stop waits for running calls; default: 10s"),
    http: value(text, "ADDRESS:PORT", "where a gateway listens; default: 127.0.0.1:8080"),
    httpToken: value(text, "FILE", "file with the token that a gateway asks for; needed beyond the loopback"),
    metricsToken: value(text, "FILE", "file with the token for metrics, of a gateway and of --metrics; needed beyond the loopback"),
    metrics: value(text, "ADDRESS:PORT", "show the metrics of these nodes there, for Prometheus, for example 127.0.0.1:9464"),
    logLevel: choice(["debug", "info", "warn", "error"], "what the nodes log; debug has a line for each call that failed; default: info"),
    verbose: on("show the log of the nodes"),
    json: on("print one line of JSON when ready, instead of text"),
    ...CONNECTION,
  },
  args: [],
  letters: { s: "server" },
  action: async (cli, flags) => {
    const { runNodes } = await import("../../nodes/run/node-run.ts");
    if (flags.roles === undefined) throw new Usage(`--roles says what to run: ${NODE_ROLES.join(", ")}`);
    const ways = [flags.store, flags.contexts].filter((one) => one !== undefined);
    const other = (["server", "context", "creds", "nkey", "user", "password", "tlscert", "tlskey", "tlsca"] as const).find(
      (flag) => flags[flag] !== undefined,
    );
    if (ways.length > 1) throw new Usage("give either --store or --contexts");
    if (ways.length === 1 && other !== undefined) throw new Usage(`--${other} does not go with --store or --contexts, which say it`);
    const credentials =
      flags.store !== undefined
        ? { store: flags.store }
        : flags.contexts !== undefined
          ? { contexts: flags.contexts }
          : { settings: await settingsOf(cli, flags) };
    const options = defined({
      name: flags.name,
      data: flags.data,
      hosts: flags.hosts,
      memoryMb: flags.memory,
      warm: flags.warm === undefined ? undefined : Object.fromEntries(flags.warm.flat()),
      sandbox: flags.sandbox,
      drainMs: flags.drain,
      direct: flags.direct === undefined ? undefined : flags.direct === "on",
      replicas: flags.replicas,
      http: flags.http,
      httpTokenFile: flags.httpToken,
      metricsTokenFile: flags.metricsToken,
      metrics: flags.metrics,
      logLevel: flags.logLevel,
    });
    const running = await runNodes({
      ...options,
      roles: flags.roles,
      credentials,
      temporary: flags.temporary,
      verbose: flags.verbose,
      signal: cli.signal,
      environment: { ...cli.env },
      say: (sentence) => note(cli, printable(sentence)),
    }).catch((thrown: unknown) => {
      if (cli.signal.aborted) throw new Interrupted("interrupted while starting");
      throw badChoice(thrown) ? new Usage(thrown.message, cureOf(thrown)) : thrown;
    });
    const { nodes, nats, data, metrics, pid } = running;
    try {
      await answer(cli, flags.json, { nodes, nats, data, metrics, pid }, () => {
        line(cli, `Ready: ${nodes.join(", ")}`);
        line(cli, `broker  ${nats}`);
        line(cli, `data    ${data}`);
        if (metrics !== undefined) line(cli, `metrics ${metrics}`);
        line(cli);
        line(cli, "Ctrl-C stops them in order.");
      });
      // The signal stops the nodes; done rejects when one could not be kept alive.
      await running.done;
    } finally {
      await running.stop();
    }
  },
});

const ls = command({
  brief: "List all nodes: who announces itself, and what each says of itself",
  details: "It needs no scheduler. A node that announces itself and does not answer is silent.",
  examples: ["pilot node ls", "pilot node ls --json"],
  flags: JSON_FLAG,
  args: [],
  action: (cli, flags) =>
    connected(cli, flags, async (platform) => {
      const nodes = await rollCall(platform);
      const rows = nodes.map((one) => [
        one.id,
        one.role,
        one.state,
        one.leads?.join(", "),
        one.ageMs === undefined ? "" : milliseconds(one.ageMs),
        one.version,
        one.machine === undefined ? "" : `${one.machine}, ${one.pid}`,
        one.server === undefined ? "" : `${one.server} (${one.address})`,
        one.epoch,
      ]);
      const head = ["NODE", "ROLE", "STATE", "LEADS", "AGE", "VERSION", "PROCESS", "BROKER", "EPOCH"];
      await answer(cli, flags.json, nodes, () => table(cli, head, rows, "no nodes"));
    }),
});

export const node = noun(
  "The processes of the platform",
  ["pilot node run --roles host --store DIR", "pilot node ls"],
  { run, ls },
  { list: "ls" },
);
