/** Entry of a frontend process. */
import { startFrontend } from "../actors/frontend/actor.ts";
import { openRegistry } from "../actors/kit/registry.ts";
import { openPartStore } from "./io/body-store.ts";
import { watchBodies } from "./io/body-watch.ts";
import { openBuckets } from "./io/buckets.ts";
import { systemClock, systemRandom } from "./io/clock.ts";
import { openInlineCode } from "./io/code/inline.ts";
import { runRole } from "./io/role.ts";

await runRole(async ({ settings, log, calls, control, open }) => {
  const [buckets, parts] = await Promise.all([openBuckets(control.nc, log), open("bodies")]);
  const registry = await openRegistry(buckets, systemClock, log);
  const inlineCode = await openInlineCode(control.nc);
  const bodies = watchBodies(parts.nc, log);
  const frontend = startFrontend(
    {
      bus: calls.bus,
      control: control.bus,
      clock: systemClock,
      random: systemRandom,
      log,
      registry,
      inlineCode,
      bodies: openPartStore(parts.nc, bodies),
      partsBus: parts.bus,
    },
    settings.node,
  );
  return {
    inspected: frontend,
    async drain(waitMs) {
      await frontend.drain(waitMs);
      bodies.stop();
      registry.stop();
    },
  };
});
