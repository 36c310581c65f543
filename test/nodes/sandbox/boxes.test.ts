import test from "ava";
import { Boots } from "../../../nodes/io/sandbox/boots.ts";
import { Boxes, type BoxesParts } from "../../../nodes/io/sandbox/boxes.ts";
import { SHARES } from "../../../nodes/io/sandbox/groups.ts";
import { Instance } from "../../../nodes/io/sandbox/instance.ts";
import type { Order } from "../../../nodes/io/sandbox/orders.ts";
import { until } from "../../../nodes/io/until.ts";

const place = (instance: string) => ({ instance, directory: `/run/${instance}`, uid: undefined, network: true });

test("F100 a boot at leisure that is hurried while its network is still being looked up begins with the share of one that is waited for", async (t) => {
  let found = (): void => undefined;
  const lookup = new Promise<void>((resolve) => (found = resolve));
  const orders: Extract<Order, { do: "box" }>[] = [];
  const command = async () => {
    await lookup;
    return { argv: [], environment: {}, directory: "/", files: [], tellsPid: true };
  };
  const parts = {
    kind: { command },
    groups: undefined,
    boots: new Boots(1),
    door: { expect: () => undefined, forget: () => undefined },
    spawner: { ready: Promise.resolve(), link: { send: (order: Order) => order.do === "box" && orders.push(order) } },
  } as unknown as BoxesParts;
  const boxes = new Boxes(parts);
  const boot = (name: string, urgent: boolean) =>
    boxes.boot(new Instance(place(name), 1, 512), "node", { instance: name, container: "c" }, urgent).catch(() => undefined);
  void boot("leisure", false);
  void boot("waited", true);
  found();
  await until(() => (orders.length > 0 ? true : undefined), 5_000);
  t.deepEqual(
    orders.map(({ shares }) => shares),
    [SHARES.waited],
  );
});
