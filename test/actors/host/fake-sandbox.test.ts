/** The fake keeps the promises of the sandbox port (I1–I4 of actors/instance/sandbox.ts) that can be kept without processes. */
import test from "ava";
import type { EndCause, IncomingFrame, SandboxedContainer } from "../../../actors/instance/sandbox.ts";
import { FRAME } from "../../../protocol/frames.ts";
import type { FakeProgram } from "../../../runtimes/fake/program.ts";
import { FakeSandbox } from "../../../runtimes/fake/sandbox.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { bytesOf } from "./rig.ts";

const programs: Record<string, FakeProgram> = {
  echo: { run: (body) => body.slice() },
  garbage: {
    run: (_, context) => {
      context.sendBytes(new Uint8Array(64).fill(0xff));
      return new Promise(() => undefined);
    },
  },
};

interface Heard {
  readonly frames: IncomingFrame[];
  readonly ends: EndCause[];
}

function listen(container: SandboxedContainer): Heard {
  const heard: Heard = { frames: [], ends: [] };
  container.listen({ frame: (frame) => heard.frames.push(frame), ended: (cause) => heard.ends.push(cause) });
  return heard;
}

function load(container: SandboxedContainer, code: string): void {
  const extra = { account: "main", function: code, version: 1, memoryMb: 128, handler: "handler", environment: {}, cachedBytes: 0 };
  container.send(FRAME.load, 0, 0, bytesOf(JSON.stringify(extra)), bytesOf(code));
}

function call(container: SandboxedContainer, number: number, body: string): void {
  const extra = new Uint8Array(12);
  extra.set(bytesOf("call"), 8);
  container.send(FRAME.call, 0, number, extra, bytesOf(body));
}

const order = (container: string, instance = "i1") => ({
  instance,
  container,
  runtime: "node" as const,
  instanceMb: 1_024,
  network: false,
});

function setup(): { clock: ManualClock; sandbox: FakeSandbox } {
  const clock = new ManualClock();
  return { clock, sandbox: new FakeSandbox({ clock, programs, bootMs: 10, cores: 1 }) };
}

async function started(clock: ManualClock, sandbox: FakeSandbox, id: string, instance?: string): Promise<SandboxedContainer> {
  const start = sandbox.start(order(id, instance), true);
  await clock.advance(10);
  return start;
}

test("a container boots, loads and answers in real frames", async (t) => {
  const { clock, sandbox } = setup();
  const container = await started(clock, sandbox, "c1");
  const heard = listen(container);
  load(container, "echo");
  call(container, 1, "hi");
  await clock.settle();
  t.deepEqual(
    heard.frames.map(({ type, id }) => [type, id]),
    [
      [FRAME.loaded, 0],
      [FRAME.result, 1],
    ],
  );
  t.is(new TextDecoder().decode(heard.frames[1]?.payload), "hi");
});

test("boots are queued one per core, and urgent ones go first", async (t) => {
  const { clock, sandbox } = setup();
  const ready: string[] = [];
  for (const [id, urgent] of [
    ["a", false],
    ["b", false],
    ["c", true],
  ] as const) {
    void sandbox.start(order(id), urgent).then((container) => ready.push(container.id));
  }
  await clock.advance(30);
  t.deepEqual(ready, ["a", "c", "b"]);
});

test("ended is told exactly once, with the first cause, and nothing comes after it", async (t) => {
  const { clock, sandbox } = setup();
  const container = await started(clock, sandbox, "c1");
  const heard = listen(container);
  load(container, "echo");
  call(container, 1, "x");
  const stopped = Promise.all([container.stop(), container.stop()]);
  sandbox.loseSpawner();
  await clock.settle();
  await stopped;
  await container.stop();
  t.deepEqual(heard.ends, [{ kind: "stopped" }]);
  t.deepEqual(heard.frames, []);
});

test("a broken stream ends the container as protocol, and throws nothing into the agent", async (t) => {
  const { clock, sandbox } = setup();
  const container = await started(clock, sandbox, "c1");
  const heard = listen(container);
  load(container, "garbage");
  call(container, 1, "");
  await clock.settle();
  t.deepEqual(
    heard.ends.map(({ kind }) => kind),
    ["protocol"],
  );
});

test("a frozen container does nothing until it is thawed, and can be stopped while frozen", async (t) => {
  const { clock, sandbox } = setup();
  const container = await started(clock, sandbox, "c1");
  const heard = listen(container);
  load(container, "echo");
  await clock.settle();
  container.signal("freeze");
  call(container, 1, "x");
  await clock.settle();
  t.is(heard.frames.length, 1);
  container.signal("thaw");
  await clock.settle();
  t.is(heard.frames.length, 2);
  container.signal("freeze");
  const stopped = container.stop();
  await clock.settle();
  await stopped;
  t.is(heard.ends.length, 1);
});

test("remove ends every container of the instance and no other", async (t) => {
  const { clock, sandbox } = setup();
  const one = listen(await started(clock, sandbox, "c1", "i1"));
  const two = listen(await started(clock, sandbox, "c2", "i2"));
  const removed = sandbox.remove("i1");
  await clock.settle();
  await removed;
  t.is(one.ends.length, 1);
  t.is(two.ends.length, 0);
});
