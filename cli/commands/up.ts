/** `pilot up`: the whole platform on this machine, until Ctrl-C. */
import { localCommand } from "../command.ts";
import { line, note } from "../context.ts";
import { defined } from "../defined.ts";
import { choice, on, text, value, values } from "../flags.ts";
import { answer } from "../output.ts";
import { port, warm } from "../values.ts";

export const up = localCommand({
  brief: "Start the platform on this machine and stay until Ctrl-C",
  details:
    "Starts a nats-server and the roles as child processes. With --json the first line on stdout is\n{\"nats\":…,\"store\":…,\"context\":…,\"pid\":…} once calls can be served. Other pilot commands on this machine find it by themselves.",
  examples: ["pilot up", "pilot up --port 4300 --store ./state --warm node=4 --warm python=1", "pilot up --port 0 --json"],
  flags: {
    port: value(port, "N", "port of the broker; 0 picks a free one; default: 4222, or a free one when that is taken"),
    store: value(text, "DIR", "where functions, code and credentials are kept"),
    warm: values(warm, "RUNTIME=N", "how many instances of a runtime to keep warm"),
    sandbox: choice(["auto", "bubblewrap", "process"], "how functions are separated; process is no protection"),
    verbose: on("show the log of the nodes"),
    json: on("print one line of JSON when ready, instead of text"),
  },
  args: [],
  letters: { p: "port", v: "verbose" },
  action: async (cli, flags) => {
    const { up: start } = await import("../../nodes/up.ts");
    const warmth = flags.warm === undefined ? undefined : Object.fromEntries(flags.warm);
    const platform = await start({
      ...defined({ port: flags.port, store: flags.store, warm: warmth, sandbox: flags.sandbox }),
      verbose: flags.verbose,
      signal: cli.signal,
      say: (message: string) => note(cli, message),
    });
    const { nats, store, context, pid } = platform;
    try {
      await answer(cli, flags.json, { nats, store, context, pid }, () => {
        line(cli, `Pilotlight is up: ${nats}`);
        line(cli, `store    ${store}`);
        line(cli, `context  ${context}`);
        line(cli);
        line(cli, "In another terminal:");
        line(cli, `  ${cli.program} deploy FILE --name hello`);
        line(cli, `  ${cli.program} invoke hello --data '{"name":"you"}'`);
        line(cli, `  nats request -s ${nats} pilot.fn.main.hello '{"name":"you"}'`);
        line(cli, `  ${cli.program} doctor`);
        line(cli);
        line(cli, "Ctrl-C stops it.");
      });
      await new Promise<void>((resolve) => {
        if (cli.signal.aborted) resolve();
        cli.signal.addEventListener("abort", () => resolve(), { once: true });
      });
    } finally {
      await platform.stop();
    }
  },
});
