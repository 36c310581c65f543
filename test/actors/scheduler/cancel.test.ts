import test from "ava";
import { rendezvous } from "../../../actors/kit/rendezvous.ts";
import { cancelCall } from "../../../protocol/messages/fleet.ts";
import { cancelOnHost } from "../../../protocol/messages/host.ts";
import { openCallPath } from "../../support/call-path.ts";
import { MemoryBus } from "../../support/memory-bus.ts";

test("a waiting call is cancelled whichever scheduler is asked, and nobody else's is", async (t) => {
  const { clock, broker, deploy, host: newHost, caller: newCaller, frontend, scheduler } = await openCallPath();
  await scheduler("scheduler-1");
  const keeper = Array.from({ length: 20 }, (_, nth) => `s${nth}`).find((id) => rendezvous("main.echo", ["scheduler-1", id]) === id);
  t.not(keeper, undefined);
  await scheduler(keeper);
  await frontend();
  const host = newHost();
  await deploy();
  await clock.advance(10);
  const caller = newCaller();
  const operator = new MemoryBus(broker, "operator");
  new MemoryBus(broker, "h1-agent").serve(cancelOnHost, ["h1"], () => ({ cancelled: false }));
  const cancel = async (reply: string): Promise<boolean> => {
    const asked = operator.ask(cancelCall, [], { reply });
    await clock.advance(10);
    return (await asked).cancelled;
  };
  // No room anywhere: they wait.
  host.announce({ memoryMb: 128, usedMb: 128 });
  await clock.settle();
  for (let nth = 0; nth < 8; nth++) caller.call("pilot.fn.main.echo", "x", { "Pilot-Deadline": "20000" }, `_INBOX.caller.${nth}`);
  await clock.settle();
  // The queue group of schedulers chooses one at a time.
  for (let nth = 0; nth < 7; nth++) t.true(await cancel(`_INBOX.caller.${nth}`));
  t.false(await cancel("_INBOX.caller.0"));
  t.false(await cancel("_INBOX.caller.8"));
  t.deepEqual(
    caller.replies.map((reply) => reply.error),
    Array.from({ length: 7 }, () => "Cancelled"),
  );
});
