import test from "ava";
import fc from "fast-check";
import { LIMITS } from "../../../protocol/limits.ts";
import { cancelOnHost } from "../../../protocol/messages/host.ts";
import { openCallPath } from "../../support/call-path.ts";
import { MemoryBus } from "../../support/memory-bus.ts";

/** One of everything, a host without room, and a caller. */
async function open() {
  const path = await openCallPath();
  await path.scheduler();
  const frontend = await path.frontend();
  await path.deploy();
  await path.clock.advance(10);
  const host = path.host();
  const asked: string[] = [];
  new MemoryBus(path.broker, "h1-agent").serve(cancelOnHost, ["h1"], ({ reply }) => {
    asked.push(reply ?? "");
    return { cancelled: false };
  });
  host.announce({ memoryMb: 128, usedMb: 128 });
  await path.clock.settle();
  return { ...path, frontend, asked, caller: path.caller() };
}

test("a caller without any rights ends its own call, which waits, by the subject on which it listens", async (t) => {
  const { clock, caller, asked } = await open();
  caller.call("pilot.fn.main.echo", "x", { "Pilot-Deadline": "20000" }, "_INBOX.caller.mine");
  await clock.settle();
  caller.call("pilot.cancel.main", "_INBOX.caller.mine", undefined, "_INBOX.caller.answer");
  await clock.advance(10);
  t.deepEqual(caller.replies.map(({ body, error }) => error ?? body).sort(), ["Cancelled", '{"cancelled":true}'].sort());
  caller.call("pilot.cancel.main", "_INBOX.caller.mine", undefined, "_INBOX.caller.again");
  await clock.advance(10);
  t.is(caller.replies.at(-1)?.body, '{"cancelled":false}');
  t.deepEqual(asked, ["_INBOX.caller.mine"]);
});

test("whatever a cancel has in its body, it gets an answer and reaches nobody unless it could be a caller's inbox", async (t) => {
  const { clock, caller, asked } = await open();
  const bodies = fc.oneof(
    fc.string({ maxLength: 300 }),
    fc.constantFrom("", "_pilot.inbox.operator.x", "_INBOX.*", "_INBOX.>", "_INBOX.a..b", "$JS.API.INFO", `_INBOX.${"x".repeat(300)}`),
  );
  await fc.assert(
    fc.asyncProperty(
      bodies.filter((body) => !/^(_INBOX|_R_)\.[^\s*>]+$/.test(body) || body.length > 256 || body.includes("..")),
      async (body) => {
        const before = caller.replies.length;
        caller.call("pilot.cancel.main", body);
        await clock.advance(10);
        return caller.replies.length === before + 1 && caller.replies.at(-1)?.error === "BadRequest";
      },
    ),
    { numRuns: 60 },
  );
  caller.call("pilot.cancel.MAIN", "_INBOX.caller.mine");
  await clock.advance(10);
  t.is(caller.replies.at(-1)?.error, "BadName");
  t.deepEqual(asked, []);
});

test("a cancel that asks for no answer, or for one at a subject of ours, reaches nobody", async (t) => {
  const { clock, caller, asked, frontend } = await open();
  for (const reply of ["", "_pilot.host.h1", "pilot.fn.main.echo"])
    caller.call("pilot.cancel.main", "_INBOX.caller.mine", undefined, reply);
  await clock.advance(10);
  t.deepEqual(asked, []);
  t.is(frontend.counters()["dropped.badReply"], 3);
});

test("a flood of cancels is refused above a rate, and let in again afterwards", async (t) => {
  const { clock, caller, asked } = await open();
  const most = LIMITS.cancelsOpen.value / 2;
  for (let nth = 0; nth < most + 50; nth++) caller.call("pilot.cancel.main", `_INBOX.x.${nth}`);
  await clock.settle();
  await clock.advance(10);
  const refused = caller.replies.filter(({ error }) => error === "Throttled");
  t.is(refused.length, 50);
  t.is(asked.length, most);
  for (let nth = 0; nth < LIMITS.cancelRate.value / 2; nth++) {
    caller.call("pilot.cancel.main", `_INBOX.y.${nth}`);
    await clock.settle();
  }
  t.true(caller.replies.filter(({ error }) => error === "Throttled").length > 50);
  await clock.advance(1_000);
  caller.call("pilot.cancel.main", "_INBOX.z.1");
  await clock.advance(10);
  t.is(caller.replies.at(-1)?.body, '{"cancelled":false}');
});

test("an account that floods with cancels, also under names that are nobody's, leaves others theirs", async (t) => {
  const { clock, caller, asked, buckets, frontend } = await open();
  for (const name of ["main", "second"]) await buckets.accounts.put(name, { name, active: true } as never);
  await clock.settle();
  const half = LIMITS.cancelsOpen.value / 2;
  const flood = async (accountOf: (nth: number) => string) => {
    for (let nth = 0; nth < half + 20; nth++) caller.call(`pilot.cancel.${accountOf(nth)}`, `_INBOX.x.${nth}`);
    await clock.settle();
  };
  await flood(() => "main");
  t.is(caller.replies.filter(({ error }) => error === "Throttled").length, 20);
  caller.call("pilot.cancel.second", "_INBOX.y.1");
  await clock.advance(10);
  t.is(caller.replies.at(-1)?.body, '{"cancelled":false}');
  t.is(asked.length, half + 1);
  t.is(frontend.counters()["limit.cancelsOpen"], 20);
  await clock.advance(1_000);
  await flood((nth) => `made-up-${nth}`);
  t.is(caller.replies.filter(({ error }) => error === "Throttled").length, 40);
  caller.call("pilot.cancel.main", "_INBOX.z.1");
  await clock.advance(10);
  t.is(caller.replies.at(-1)?.body, '{"cancelled":false}');
});
