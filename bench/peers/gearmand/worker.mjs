/** Echo workers for gearmand: `node worker.mjs <port>`. A connection does one job at a time, so there are several. */
import { first, open, TYPE } from "./frames.mjs";

const CONNECTIONS = 4;

const workers = Array.from({ length: CONNECTIONS }, () => {
  const worker = open(Number(process.argv[2]), (type, data) => {
    if (type === TYPE.noop) worker.send(TYPE.grabJob);
    else if (type === TYPE.noJob) worker.send(TYPE.preSleep);
    else if (type === TYPE.jobAssign) {
      const [handle, afterHandle] = first(data);
      const [, afterName] = first(data.subarray(afterHandle));
      worker.send(TYPE.workComplete, handle, Buffer.from(data.subarray(afterHandle + afterName)));
      worker.send(TYPE.grabJob);
    }
  });
  return worker;
});
for (const worker of workers) {
  await worker.opened;
  worker.send(TYPE.canDo, "echo");
  worker.send(TYPE.preSleep);
}
process.stdout.write("listening\n");
