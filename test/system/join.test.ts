/** Machines that join and leave under load, on two and three servers: nothing is lost and nothing runs twice. */
import test, { type ExecutionContext } from "ava";
import { publish } from "../../cli/publish.ts";
import { bundleSource } from "../../nodes/io/bundle/index.ts";
import { closedLoad, TELLS } from "../support/closed-load.ts";
import { type Cluster, startCluster } from "../support/cluster.ts";
import { until } from "../support/until.ts";

const ROUNDS = Number(process.env["PILOT_JOIN_ROUNDS"] ?? 2);
const WARM = { node: 2, python: 0 };

/** A cluster with what stays, and a granted and a placed function. */
async function openCluster(t: ExecutionContext, brokers: 2 | 3): Promise<Cluster> {
  const cluster = await startCluster(t, { brokers });
  await cluster.run(["scheduler", "frontend", "host"], { name: "stays", warm: WARM });
  const operator = await cluster.operator();
  const bundle = await bundleSource(TELLS, "node");
  await publish(operator, bundle, { account: "main", name: "granted", settings: { class: "busy" } });
  await publish(operator, bundle, { account: "main", name: "placed", settings: { class: "rare" } });
  return cluster;
}

for (const brokers of [2, 3] as const) {
  test.serial(
    `hosts and frontends join and leave a cluster of ${brokers} servers under load: nothing is lost and nothing runs twice`,
    async (t) => {
      t.timeout(400_000);
      const cluster = await openCluster(t, brokers);
      // Callers sit on the nodes' server and on another.
      const callers = await Promise.all([cluster.anonymous([0]), cluster.anonymous([1])]);
      const load = await closedLoad(await cluster.operator([1]), callers, ["granted", "placed"], 8);
      const flows = async (): Promise<void> => {
        const before = load.answered;
        await until(() => load.answered > before + 200, "200 more answers", 60_000);
      };
      await flows();
      for (let round = 0; round < ROUNDS; round += 1) {
        const servers = round % 2 === 0 ? undefined : [brokers - 1];
        const host = await cluster.run(["host"], { name: `h${round}`, warm: WARM, ...(servers && { servers }) });
        await flows();
        const frontend = await cluster.run(["frontend"], { name: `f${round}`, ...(servers && { servers }) });
        await flows();
        await host.stop();
        await flows();
        await frontend.stop();
        await flows();
      }
      const account = await load.stop();
      t.log(`${account.calls} calls, ${account.perSecond.toFixed(0)} a second, paths ${JSON.stringify(account.paths)}`);
      t.deepEqual(account.lost, []);
      t.deepEqual(account.doubled, []);
    },
  );
}
