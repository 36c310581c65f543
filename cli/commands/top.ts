/** `pilot top`: the cluster as it works now. */

import { Fault } from "../../protocol/errors.ts";
import { command } from "../command.ts";
import { line } from "../context.ts";
import { Interrupted } from "../failure.ts";
import { JSON_FLAG, on, valueOr } from "../flags.ts";
import { answer } from "../output.ts";
import { connected } from "../platform.ts";
import { duration } from "../values.ts";

const STEP = 100;

export const top = command({
  brief: "Watch functions, hosts, pools and nodes at work",
  details:
    "Rates are what counters grew by in the interval; p50 and p99 are run times, as exact as the buckets of the metrics. It ends with q or Ctrl-C. Into a pipe or file, or with --once or --json, it prints one interval and ends.",
  examples: ["pilot top", "pilot top --interval 5s", "pilot top --json", "pilot top --once | head"],
  flags: {
    once: on("print one interval as text and end"),
    interval: valueOr(duration, "TIME", "1s", "time between two looks, 100 ms at least"),
    ...JSON_FLAG,
  },
  args: [],
  action: async (cli, flags) => {
    const isLive = cli.stdout.isTTY === true && !flags.once && !flags.json;
    const intervalMs = Math.max(STEP, flags.interval);
    await connected(
      cli,
      flags,
      async (platform) => {
        const [{ takeSample }, { topView }, { topLines }, { pause, showScreen }] = await Promise.all([
          import("../top/sample.ts"),
          import("../top/view.ts"),
          import("../top/text.ts"),
          import("../top/screen.ts"),
        ]);
        let before = await takeSample(platform);
        if (!isLive) {
          await pause(intervalMs, cli.signal);
          if (cli.signal.aborted) throw new Interrupted("interrupted");
          const view = topView(before, await takeSample(platform));
          await answer(cli, flags.json, view, () => {
            for (const text of topLines(view)) line(cli, text);
          });
          return;
        }
        let isFirst = true;
        await showScreen(cli, async (stop) => {
          if (isFirst) {
            isFirst = false;
            return [`asking every ${intervalMs / 1_000} s; q ends`];
          }
          await pause(intervalMs, stop);
          if (stop.aborted) return undefined;
          try {
            const after = await takeSample(platform);
            const view = topView(before, after);
            before = after;
            return topLines(view);
          } catch (thrown) {
            // A scheduler that changes, or a broker that is being restarted: the next look may be better.
            return [`no answer: ${Fault.from(thrown).message}`];
          }
        });
      },
      true,
    );
  },
});
