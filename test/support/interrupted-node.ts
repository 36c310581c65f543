/** A node whose first start is interrupted: a request to the storage is not answered. The next one goes well. */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { NatsError } from "nats";
import { runRole } from "../../nodes/io/role.ts";
import { Fault } from "../../protocol/errors.ts";

await runRole(async ({ settings }) => {
  const mark = join(settings.store, "run", `${settings.node}.tried`);
  if (!existsSync(mark)) {
    writeFileSync(mark, "");
    throw new Fault("Unavailable", "the bucket cannot be opened: TIMEOUT", undefined, new NatsError("TIMEOUT", "TIMEOUT"));
  }
  return { drain: () => Promise.resolve() };
});
