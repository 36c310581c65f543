/** The broker as a part. Its first port is kept over restarts, so that everybody finds it again; when its disk was full it is started anew once there is room. */
import { join } from "node:path";
import type { Clock } from "../../actors/kit/ports.ts";
import { Fault } from "../../protocol/errors.ts";
import { lengthOf, watchRoom } from "../io/broker/room.ts";
import { type RunningBroker, type StartBroker, startBroker } from "../io/broker/start.ts";
import { Hopeless, type Part } from "./part.ts";

export interface BrokerPart extends StartBroker {
  readonly clock: Pick<Clock, "now" | "every">;
  /** Shows a sentence to the person at the terminal. */
  readonly say: (sentence: string) => void;
}

/** `started` is told after each start, before the part counts as ready. */
export function brokerPart(order: BrokerPart, started: (broker: RunningBroker) => Promise<void>): Part {
  let port = order.port;
  let before = false;
  return {
    name: "broker",
    async start() {
      let broker: RunningBroker;
      const logFile = join(order.directory, "server.log");
      const logFrom = await lengthOf(logFile);
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
      const { clock, say, directory } = order;
      const room = watchRoom({ data: join(directory, "data"), logFile, logFrom, clock, say, again: () => void broker.stop() });
      void broker.exited.then(() => room.stop());
      return {
        pid: broker.pid,
        exited: broker.exited,
        drain: () => void broker.stop(),
        kill: () => broker.kill(),
      };
    },
  };
}
