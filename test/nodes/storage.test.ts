/** How many copies streams get, over a JetStream that is told what it is: servers that come at an awkward moment. */
import test from "ava";
import { type NatsConnection, NatsError, type StreamConfig } from "nats";
import { keepStorage } from "../../nodes/io/storage.ts";
import { recordLog } from "../support/record-log.ts";
import { until } from "../support/until.ts";

/** A cluster of so many servers, which may change, as one connection sees it. `made` is told each stream that is made. */
function cluster(servers: { count: number }, made: () => void) {
  const streams = new Map<string, StreamConfig>();
  const missing = (): NatsError => {
    const error = new NatsError("stream not found", "404");
    error.api_error = { code: 404, err_code: 10_059, description: "stream not found" };
    return error;
  };
  const manager = {
    streams: {
      async info(name: string) {
        const config = streams.get(name);
        if (config === undefined) throw missing();
        return { config };
      },
      async add(config: StreamConfig) {
        streams.set(config.name, config);
        made();
      },
      async update(name: string, config: StreamConfig) {
        streams.set(name, config);
      },
    },
  };
  const nc = {
    get info() {
      return { cluster: "c", jetstream: true, connect_urls: Array.from({ length: servers.count }, (_, nth) => `10.0.0.${nth}:4222`) };
    },
    jetstreamManager: async () => manager,
    status: () => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => undefined) }) }),
    isClosed: () => false,
  };
  return { streams, nc: nc as unknown as NatsConnection };
}

test("a third server that joins while the storage is being made counts", async (t) => {
  const servers = { count: 2 };
  const { nc, streams } = cluster(servers, () => {
    servers.count = 3;
  });
  const kept = await keepStorage(nc, undefined, recordLog());
  t.teardown(() => kept.stop());
  const copies = () => [...new Set([...streams.values()].map(({ num_replicas }) => num_replicas))];
  await until(() => copies().join() === "3", "three copies of each stream", 10_000);
  t.deepEqual(copies(), [3]);
});
