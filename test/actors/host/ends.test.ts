import test from "ava";
import { BODY_LIMIT, LIMITS } from "../../../protocol/limits.ts";
import { FakeBadResult } from "../../../runtimes/fake/program.ts";
import { bytesOf, rig } from "./rig.ts";

test("F007 a run over its time limit is answered TimedOut at once, its container ends, and the next call gets a fresh one", async (t) => {
  const r = await rig(t);
  const sent = r.call("hang", "warm", "", { timeoutMs: 200 });
  await r.clock.advance(150);
  t.is(sent.replies.length, 0);
  await r.clock.advance(70);
  t.is(sent.reply.error, "TimedOut");
  t.is(sent.reply.header("Nats-Service-Error-Code"), "504");
  t.is(sent.reply.header("Pilot-Rung"), "warm");
  await r.clock.advance(100);
  const next = r.call("echo", "warm", "again");
  await r.clock.settle();
  t.is(next.reply.body, "again");
  t.not(next.reply.header("Pilot-Container"), sent.reply.header("Pilot-Container"));
});

test("out of memory, exit, signal and a broken channel are told apart", async (t) => {
  const r = await rig(
    t,
    { pools: [{ runtime: "node", memoryMb: 1_024, warm: 4 }] },
    {
      hungry: {
        async run(_, context) {
          context.useMemory(200);
          await context.sleep(1_000);
        },
      },
      exits: {
        async run(_, context) {
          context.print("bye\n");
          context.exit(3);
          await context.sleep(1_000);
        },
      },
      dies: {
        async run(_, context) {
          context.die("SIGSEGV");
          await context.sleep(1_000);
        },
      },
      garbage: {
        async run(_, context) {
          context.sendBytes(new Uint8Array(32).fill(255));
          await context.sleep(1_000);
        },
      },
    },
  );
  const hungry = r.call("hungry", "warm");
  const exits = r.call("exits", "warm");
  const dies = r.call("dies", "warm");
  const garbage = r.call("garbage", "warm");
  await r.clock.settle();
  t.is(hungry.reply.error, "OutOfMemory");
  t.is(exits.reply.error, "Crashed");
  t.regex(exits.reply.message, /exit code 3.*bye/);
  t.is(dies.reply.error, "Crashed");
  t.regex(dies.reply.message, /SIGSEGV/);
  t.is(garbage.reply.error, "Crashed");
  t.regex(garbage.reply.message, /channel/);
});

test("an unknown frame, and one that makes no sense at its moment, end the container as Crashed", async (t) => {
  const none = new Uint8Array(0);
  const r = await rig(
    t,
    { pools: [{ runtime: "node", memoryMb: 1_024, warm: 2 }] },
    {
      weird: {
        run(_, context) {
          context.sendFrame(99, 0, 0, none, none);
          return new Promise(() => undefined);
        },
      },
      loaded: {
        run(_, context) {
          context.sendFrame(17, 0, 0, none, none);
          return new Promise(() => undefined);
        },
      },
    },
  );
  const one = r.call("weird", "warm");
  const two = r.call("loaded", "warm");
  await r.clock.settle();
  t.regex(one.reply.message, /unknown type 99/);
  t.is(two.reply.error, "Crashed");
  t.is(r.counter("frames.refused"), 2);
});

test("a forged or late result changes nothing", async (t) => {
  const none = new Uint8Array(0);
  const r = await rig(
    t,
    {},
    {
      forger: {
        run(_, context) {
          context.sendFrame(19, 0, 4_000, none, bytesOf("forged"));
          context.sendFrame(19, 0, 1, none, bytesOf("first"));
          context.sendFrame(19, 0, 1, none, bytesOf("second"));
          return new Promise(() => undefined);
        },
      },
    },
  );
  const sent = r.call("forger", "warm");
  await r.clock.settle();
  t.is(sent.reply.body, "first");
  t.is(r.counter("frames.late"), 2);
});

test("an exception is a HandlerError with the function's own stack, and its container is used again", async (t) => {
  const r = await rig(t);
  const sent = r.call("throw", "warm");
  await r.clock.settle();
  t.is(sent.reply.error, "HandlerError");
  t.is(sent.reply.message, "TypeError: no luck");
  t.regex((JSON.parse(sent.reply.body) as { stack: string }).stack, /source\.ts:1:1/);
  const next = r.call("throw", "hot");
  await r.clock.settle();
  t.is(next.reply.header("Pilot-Container"), sent.reply.header("Pilot-Container"));
});

test("a container that reports an unhandled rejection, and then exits, is not used again", async (t) => {
  const r = await rig(
    t,
    {},
    {
      rejects: {
        run() {
          throw new Error("Unhandled rejection: lost");
        },
      },
    },
  );
  r.call("rejects", "warm");
  await r.clock.settle();
  const next = r.call("rejects", "hot");
  await r.clock.settle();
  t.is(next.refused, "no-container");
});

test("a result that cannot be sent is BadResult, and one that is too large is ResultTooLarge", async (t) => {
  const r = await rig(
    t,
    { pools: [{ runtime: "node", memoryMb: 1_024, warm: 2 }] },
    {
      cycle: {
        run() {
          throw new FakeBadResult("the result is a cycle");
        },
      },
      large: { run: () => new Uint8Array(BODY_LIMIT + 1) },
    },
  );
  const cycle = r.call("cycle", "warm");
  const large = r.call("large", "warm");
  await r.clock.settle();
  t.is(cycle.reply.error, "BadResult");
  t.is(cycle.reply.message, "the result is a cycle");
  t.is(large.reply.error, "ResultTooLarge");
});

test("code that cannot be loaded is a HandlerError for every call that waits for it, and is not loaded again without end", async (t) => {
  const r = await rig(
    t,
    {},
    { broken: { loadMs: 20, loadError: { type: "SyntaxError", message: "unexpected )", stack: "at function.cjs:2:2" } } as never },
  );
  const first = r.call("broken", "warm");
  await r.clock.settle();
  const second = r.call("broken", "hot");
  await r.clock.advance(50);
  for (const sent of [first, second]) {
    t.is(sent.reply.error, "HandlerError");
    t.regex(sent.reply.message, /could not be loaded: SyntaxError: unexpected \)/);
    t.regex(sent.reply.body, /source\.ts:2:2/);
  }
  t.is(r.active.length, 0);
});

test("code that never finishes loading, or ends its process, is a HandlerError", async (t) => {
  const r = await rig(
    t,
    { pools: [{ runtime: "node", memoryMb: 1_024, warm: 2 }] },
    { slow: { loadHangs: true, run: () => null }, quits: { loadExit: 1, run: () => null } },
  );
  const slow = r.call("slow", "warm");
  const quits = r.call("quits", "warm");
  await r.clock.settle();
  t.is(quits.reply.error, "HandlerError");
  t.regex(quits.reply.message, /exit code 1/);
  await r.clock.advance(LIMITS.load.value + 100);
  t.is(slow.reply.error, "HandlerError");
  t.regex(slow.reply.message, /longer than/);
  t.is(r.active.length, 0);
});

test("a boot that fails is tried again; a call that waits gets BootFailed after its attempts", async (t) => {
  const r = await rig(t, { pools: [] });
  r.sandbox.failBoot = (_, count) => (count < 1 ? "no room in /dev/shm" : undefined);
  const lucky = r.call("echo", "cold", "1");
  await r.clock.advance(300);
  t.is(lucky.reply.body, "1");
  r.sandbox.failBoot = () => "no room in /dev/shm";
  const unlucky = r.call("echo", "cold", "2", { account: "other" });
  await r.clock.advance(2_000);
  t.is(unlucky.reply.error, "BootFailed");
  t.regex(unlucky.reply.message, /dev\/shm/);
  t.is(r.instances.filter(({ account }) => account === "other").length, 0);
});

test("code that the store does not give is CodeUnavailable, a version that is gone FunctionNotFound", async (t) => {
  const r = await rig(t);
  r.versions.set("main.echo.9", { digest: "f".repeat(64) });
  const sent = r.call("echo", "warm", "", { version: 9 });
  const gone = r.call("unknown", "warm");
  await r.clock.settle();
  t.is(sent.reply.error, "CodeUnavailable");
  t.is(gone.reply.error, "FunctionNotFound");
});

test("when the spawner dies the calls that run get InstanceLost, those that wait are run elsewhere, and the pool comes back", async (t) => {
  const r = await rig(t);
  const runs = r.call("sleep", "warm", "500");
  await r.clock.settle();
  const waits = r.call("sleep", "hot", "5");
  await r.clock.settle();
  r.sandbox.loseSpawner();
  await r.clock.advance(300);
  t.is(runs.reply.error, "InstanceLost");
  t.is(waits.reply.body, "slept");
  t.is(r.instances.filter(({ state }) => state === "warm").length, 1);
});

test("a call that waits behind one that crashes its container is run in another", async (t) => {
  const r = await rig(
    t,
    {},
    {
      once: {
        async run(body, context) {
          await context.sleep(10);
          if (body.length === 0) context.exit(1);
          await context.sleep(10);
          return body.slice();
        },
      },
    },
  );
  const first = r.call("once", "warm", "");
  await r.clock.settle();
  const second = r.call("once", "hot", "fine");
  await r.clock.advance(200);
  t.is(first.reply.error, "Crashed");
  t.is(second.reply.body, "fine");
});

test("a hostile error text of a function fits into one header line and a bounded body", async (t) => {
  const r = await rig(
    t,
    {},
    {
      evil: {
        run() {
          throw new Error(`x\r\nPilot-Rung: forged\n${"ü\u0000".repeat(50_000)}`);
        },
      },
    },
  );
  const sent = r.call("evil", "warm", "", { trace: false });
  await r.clock.settle();
  t.notRegex(sent.reply.message, /[\u0000-\u001f]/);
  t.true(sent.reply.message.length <= 1_024);
  t.true(sent.reply.bytes.length <= LIMITS.errorBody.value);
  t.is(sent.reply.header("Pilot-Rung"), undefined);
});

test("a result that comes while the broker is away reaches its caller afterwards, and so does the report", async (t) => {
  const r = await rig(t);
  const sent = r.call("sleep", "warm", "100");
  await r.clock.advance(50);
  r.bus.disconnect();
  r.control.disconnect();
  await r.clock.advance(500);
  r.bus.reconnect();
  r.control.reconnect();
  t.is(sent.replies.length, 0);
  await r.clock.advance(1_500);
  t.is(sent.reply.body, "slept");
  t.true(r.reports.some(({ to, done }) => to === "f1" && done.length === 1));
});

test("an instance that is removed while it boots leaves nothing behind", async (t) => {
  const r = await rig(t, { pools: [] });
  r.call("echo", "cold", "x");
  await r.clock.advance(10);
  const closed = r.host.close();
  await r.clock.advance(100);
  await closed;
  t.is(r.sandbox.containers.length, 0);
  t.is(r.sandbox.removed.length, 2);
});

test("a call of an idempotent function runs again when its instance is lost under it, once", async (t) => {
  const r = await rig(t);
  const sent = r.call("sleep", "warm", "500", { idempotent: true });
  await r.clock.advance(100);
  r.sandbox.loseSpawner();
  await r.clock.advance(300);
  t.is(sent.replies.length, 0);
  await r.clock.advance(500);
  t.is(sent.reply.body, "slept");
  t.is(r.counter("calls.rerun"), 1);
  const twice = r.call("sleep", "warm", "500", { idempotent: true, account: "other" });
  await r.clock.advance(50);
  r.sandbox.loseSpawner();
  await r.clock.advance(200);
  r.sandbox.loseSpawner();
  await r.clock.advance(200);
  t.is(twice.reply.error, "InstanceLost");
});
