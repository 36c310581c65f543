/** A client for gearmand: jobs in, results out, any number in flight on one connection. */
import { first, open, TYPE } from "./frames.mjs";

/** Resolves with `call` (bytes to bytes) and `end`. */
export async function openClient(port) {
  const submitted = [];
  const running = new Map();
  // The server may say that a job is done in the same breath as that it was made; it never says so before.
  const connection = open(port, (type, data) => {
    if (type === TYPE.jobCreated) running.set(data.toString("latin1"), submitted.shift());
    else if (type === TYPE.workComplete || type === TYPE.workFail) {
      const [handle, at] = first(data);
      const job = running.get(handle);
      running.delete(handle);
      if (type === TYPE.workComplete) job?.resolve(new Uint8Array(data.subarray(at)));
      else job?.reject(new Error("the job failed"));
    } else if (type === TYPE.error) submitted.shift()?.reject(new Error(data.toString("latin1")));
  });
  await connection.opened;
  return {
    call: (body) =>
      new Promise((resolve, reject) => {
        submitted.push({ resolve, reject });
        connection.send(TYPE.submitJob, "echo", "", body);
      }),
    end: () => connection.end(),
  };
}
