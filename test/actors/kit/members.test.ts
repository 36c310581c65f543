import test from "ava";
import { Members, sayGone } from "../../../actors/kit/members.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { MemoryBroker } from "../../support/memory-broker.ts";
import { MemoryBus } from "../../support/memory-bus.ts";
import { recordLog } from "../../support/record-log.ts";

test("who was draining has left, and that is no warning; who was not, or was only cordoned, is lost", async (t) => {
  const clock = new ManualClock();
  const log = recordLog();
  const members = new Members(new MemoryBus(new MemoryBroker(clock), "judge"), clock, (member) => sayGone(log, "host", member));
  t.teardown(() => members.stop());
  members.heard({ id: "drained", epoch: "e1", draining: true });
  members.heard({ id: "cordoned", epoch: "e2", draining: true, cordoned: true });
  members.heard({ id: "killed", epoch: "e3", draining: false });
  await clock.advance(LIMITS.hostSilence.value + 500);
  t.deepEqual(log.find("info"), [{ level: "info", message: "host left", fields: { host: "drained", epoch: "e1" } }]);
  t.deepEqual(
    log.find("warn").map(({ message, fields }) => [message, fields?.["host"]]),
    [
      ["host lost", "cordoned"],
      ["host lost", "killed"],
    ],
  );
});
