/** `pilot metrics`: what Prometheus gets at `/metrics`. */
import { command } from "../command.ts";
import { JSON_FLAG } from "../flags.ts";
import { answer } from "../output.ts";
import { connected } from "../platform.ts";
import { noteSilent } from "./fleet.ts";

export const metrics = command({
  brief: "Print the metrics of all nodes in the text format of Prometheus",
  details:
    "Counters are cumulative since each node's start. A gateway answers the same at /metrics; docs/operations.md says what each means.",
  examples: ["pilot metrics", "pilot metrics | promtool check metrics", "pilot metrics --json"],
  flags: JSON_FLAG,
  args: [],
  action: (cli, flags) =>
    connected(cli, flags, async (platform) => {
      const { fleetMetrics } = await import("../contracts.ts");
      const found = await platform.bus.ask(fleetMetrics, [], {});
      noteSilent(cli, found.silent);
      await answer(cli, flags.json, found, async () => {
        const { metricsText } = await import("../../nodes/io/metrics-text.ts");
        cli.stdout.write(await metricsText(found));
      });
    }),
});
