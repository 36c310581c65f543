/** The broker as a part. Its first port is kept over restarts, so that everybody finds it again. */
import { Fault } from "../../protocol/errors.ts";
import { type RunningBroker, type StartBroker, startBroker } from "../io/broker/start.ts";
import { Hopeless, type Part } from "./part.ts";

/** `started` is told after each start, before the part counts as ready. */
export function brokerPart(order: StartBroker, started: (broker: RunningBroker) => Promise<void>): Part {
  let port = order.port;
  let before = false;
  return {
    name: "broker",
    async start() {
      let broker: RunningBroker;
      try {
        broker = await startBroker({ ...order, port });
      } catch (error) {
        // A port in use or a bad store is not mended by trying again; a server that did run before may come back.
        if (!before) {
          const { name, message } = Fault.from(error);
          throw new Hopeless(name === "BadRequest" ? name : "Unavailable", message, undefined, error);
        }
        throw error;
      }
      port = broker.port;
      before = true;
      await started(broker);
      return {
        pid: broker.pid,
        exited: broker.exited,
        drain: () => void broker.stop(),
        kill: () => broker.kill(),
      };
    },
  };
}
