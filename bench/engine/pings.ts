/** How long the host agent takes to answer while something goes on: its event loop seen from outside. */
import { percentile } from "./figures.ts";
import type { Platform } from "./platform.ts";

const EVERY_MS = 3;

/** Runs `while_` and asks the agent again and again meanwhile; p99 of the answers in ms. */
export async function pings(platform: Platform, while_: () => Promise<unknown>): Promise<number> {
  const { nc } = platform.connection;
  const times: number[] = [];
  let over = false;
  const asking = (async () => {
    while (!over) {
      const began = performance.now();
      await nc.request("$SRV.PING.pilot-host", undefined, { timeout: 5_000 });
      times.push(performance.now() - began);
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    }
  })();
  try {
    await while_();
  } finally {
    over = true;
    await asking;
  }
  return percentile(times, 0.99);
}
