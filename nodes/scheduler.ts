/** Entry of a scheduler process; it also makes the buckets and streams that all roles use. */
import { openRegistry } from "../actors/kit/registry.ts";
import { startScheduler } from "../actors/scheduler/actor.ts";
import { serveRegistry } from "../actors/scheduler/registry/serve.ts";
import { openBuckets } from "./io/buckets.ts";
import { findInLog } from "./io/call-log.ts";
import { systemClock, systemRandom } from "./io/clock.ts";
import { openCodeStore } from "./io/code/store.ts";
import { openLease } from "./io/lease.ts";
import { runRole } from "./io/role.ts";
import { keepStorage } from "./io/storage.ts";

/** Size of an instance that has to be booted, in MB. */
const INSTANCE_MB = 1_024;

await runRole(async ({ settings, log, calls, control }) => {
  const copies = await keepStorage(control.nc, settings.replicas, log);
  const buckets = await openBuckets(control.nc, log);
  const code = await openCodeStore(control.nc);
  const lease = await openLease(control.nc, log);
  const registry = await openRegistry(buckets, systemClock, log);
  const scheduler = startScheduler(
    {
      bus: calls.bus,
      control: control.bus,
      clock: systemClock,
      random: systemRandom,
      log,
      registry,
      lease,
      findInLog: (id, receivedAt) => findInLog(control.nc, id, receivedAt),
    },
    { node: settings.node, instanceMb: INSTANCE_MB },
  );
  const service = serveRegistry({
    ...buckets,
    bus: control.bus,
    registry,
    clock: systemClock,
    log,
    hasCode: (digest) => code.has(digest),
    live: () => scheduler.live(),
  });
  return {
    inspected: scheduler,
    async drain(waitMs) {
      copies.stop();
      await service.stop();
      await scheduler.drain(waitMs);
      registry.stop();
    },
  };
});
