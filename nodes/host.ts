/** Entry of a host agent process. */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { startHost } from "../actors/host/agent.ts";
import { mergePools } from "../actors/host/pool.ts";
import { mirror } from "../actors/kit/mirror.ts";
import { POOLS_KEY } from "../actors/scheduler/registry/ports.ts";
import { Fault } from "../protocol/errors.ts";
import { LIMITS } from "../protocol/limits.ts";
import { RUNTIME_NAMES } from "../protocol/runtimes.ts";
import type { PoolTarget, VersionRecord } from "../protocol/vocabulary.ts";
import { openBodyStore } from "./io/body-store.ts";
import { watchBodies } from "./io/body-watch.ts";
import { featuresOf } from "./io/broker/version.ts";
import { openBuckets } from "./io/buckets.ts";
import { systemClock, systemRandom } from "./io/clock.ts";
import { openCodeCache } from "./io/code/cache.ts";
import { INLINE_BUCKET } from "./io/code/inline.ts";
import { openStackMapper } from "./io/code/stack-mapper.ts";
import { openCodeStore } from "./io/code/store.ts";
import { resolveConnection } from "./io/context.ts";
import { openCordon } from "./io/cordon.ts";
import { openDataStore } from "./io/data-store.ts";
import { flushed } from "./io/flushed.ts";
import { whenRoom } from "./io/full-disk.ts";
import { machineMemoryMb } from "./io/machine.ts";
import { runRole } from "./io/role.ts";
import { openSandbox, type SandboxOptions } from "./io/sandbox/index.ts";
import { offeredRuntimes } from "./io/sandbox/offered.ts";
import { knownServers } from "./io/servers.ts";
import { within } from "./io/within.ts";

const INSTANCE_MB = 1_024;
const WARM_DEFAULT = { node: 2, python: 1 } as const;

await runRole(async ({ settings, log, calls, control, open }) => {
  const run = join(settings.store, "run", settings.node);
  const { servers } = await resolveConnection({ context: settings.context }, {});
  const boxes: SandboxOptions = {
    kind: settings.sandbox,
    runDirectory: run,
    log: (level, message, fields) => log[level](message, fields),
    network: { brokers: () => [...servers, ...knownServers(calls.nc), ...knownServers(control.nc)] },
  };
  const [buckets, code, inline, bodies, sandbox] = await Promise.all([
    openBuckets(control.nc, log),
    openCodeStore(control.nc),
    openCodeStore(control.nc, { bucket: INLINE_BUCKET }),
    open("bodies"),
    whenRoom(() => openSandbox(boxes), log),
  ]);
  for (const gap of sandbox.isolation.gaps) log.warn(`isolation: ${gap.split(/(?<=\.) /)[0]}`, { gap });
  const cache = await openCodeCache({
    directory: join(settings.store, "cache", settings.node),
    limitBytes: LIMITS.codeCache.value,
    now: () => systemClock.epoch(),
    trouble: (message) => log.warn(message),
    // Inline code is in a store of its own; a digest is in one or the other.
    fetch: async (digest) =>
      code.get(digest).catch((thrown: unknown) => {
        if (Fault.from(thrown).name !== "NotFound") throw thrown;
        return inline.get(digest);
      }),
  });
  const mapper = openStackMapper(async (digest) => (await code.map(digest)) ?? (await inline.map(digest)));
  const runtimes = offeredRuntimes();
  const pools = await mirror(buckets.pools, () => undefined);
  const defaults: PoolTarget[] = RUNTIME_NAMES.filter((name) => runtimes[name] !== undefined).map((runtime) => ({
    runtime,
    memoryMb: INSTANCE_MB,
    warm: settings.warm[runtime] ?? WARM_DEFAULT[runtime],
  }));

  const cordon = await openCordon(`${run}.cordoned`);
  const version = control.nc.info?.version ?? "";
  const dropsHung = featuresOf(version).dropsHungClients;
  const answersDirectly = dropsHung && settings.direct;
  if (!dropsHung)
    log.warn(`the broker is ${version}: it would not drop a hung host, so calls pass the frontends instead of going to hosts directly`);

  const stored = watchBodies(bodies.nc, log);
  const host = startHost(
    {
      lost: () => {
        const said = calls
          .settled()
          .then(() => host.close())
          .then(() => flushed(calls.nc));
        void within(said, LIMITS.lastWords.value, "what piled up was not answered")
          .catch((error: unknown) => log.error("the host ends", { error: String(error) }))
          .finally(() => process.exit(1));
      },
      keepCordon: cordon.keep,
      bus: calls.bus,
      control: control.bus,
      clock: systemClock,
      random: systemRandom,
      log,
      sandbox,
      code: cache,
      async versions(account, name, version): Promise<VersionRecord> {
        const stored = await buckets.versions.get(`${account}.${name}.${version}`);
        if (stored === undefined) throw new Fault("FunctionNotFound", `version ${version} of ${name} is gone`);
        return stored.value;
      },
      mapStack: (digest, stack) => mapper(digest, stack),
      data: openDataStore(buckets.data),
      bodies: openBodyStore(bodies.nc, stored),
    },
    {
      host: settings.node,
      memoryMb: settings.memoryMb ?? machineMemoryMb(),
      cores: availableParallelism(),
      instanceMb: INSTANCE_MB,
      pools: mergePools(defaults, pools.get(POOLS_KEY) ?? []),
      cordoned: cordon.was,
      answersDirectly,
      runtimes,
    },
  );
  return {
    inspected: host,
    dismissed: host.dismissed,
    async drain(waitMs) {
      await host.drain(waitMs);
      stored.stop();
      pools.stop();
      await sandbox.close();
    },
  };
});
