/** Order, restarts and ends, with parts that are only promises. */
import test from "ava";
import { systemClock } from "../../../nodes/io/clock.ts";
import { until } from "../../../nodes/io/until.ts";
import { Hopeless, type Part } from "../../../nodes/supervisor/part.ts";
import { type Supervision, type SupervisorOptions, supervise } from "../../../nodes/supervisor/supervisor.ts";
import { Fault } from "../../../protocol/errors.ts";

const OPTIONS: SupervisorOptions = {
  policy: { most: 2, windowMs: 60_000, delayMinMs: 1, delayMaxMs: 2 },
  clock: systemClock,
  drainMs: 40,
  drainLeastMs: 20,
  say: () => undefined,
};

interface Toy extends Part {
  /** Ends it as if the process had died. */
  die(): void;
}

/** A part that writes down what happens to it. `stubborn`: only `kill` ends it. */
function toy(name: string, diary: string[], stubborn = false): Toy {
  let pid = 0;
  let end: (how: string) => void = () => undefined;
  return {
    name,
    die: () => end("died"),
    start() {
      diary.push(`${name} starts`);
      pid += 1;
      const exited = new Promise<string>((resolve) => {
        end = resolve;
      });
      const finish = (how: string): void => {
        diary.push(`${name} ${how}`);
        end(how);
      };
      return Promise.resolve({
        pid,
        exited,
        drain: () => (stubborn ? undefined : finish("drained")),
        kill: () => finish("killed"),
      });
    },
  };
}

const restarted = (supervision: Supervision, name: string, pid: number): Promise<true | undefined> =>
  until(() => (supervision.pidOf(name) === pid ? true : undefined), 5_000);

test("parts start one after the other and stop in reverse", async (t) => {
  const diary: string[] = [];
  const supervision = supervise([toy("a", diary), toy("b", diary), toy("c", diary)], OPTIONS);
  await supervision.ready;
  await supervision.stop();
  await supervision.stop();
  await supervision.done;
  t.deepEqual(diary, ["a starts", "b starts", "c starts", "c drained", "b drained", "a drained"]);
});

test("what does not drain in its time is killed, and the others still drain", async (t) => {
  const diary: string[] = [];
  const supervision = supervise([toy("a", diary), toy("b", diary, true)], OPTIONS);
  await supervision.ready;
  await supervision.stop();
  t.deepEqual(diary.slice(2), ["b killed", "a drained"]);
});

test("a part that dies is started again, and the others are left alone", async (t) => {
  const diary: string[] = [];
  const [a, b] = [toy("a", diary), toy("b", diary)];
  const supervision = supervise([a, b], OPTIONS);
  await supervision.ready;
  a.die();
  t.true(await restarted(supervision, "a", 2));
  t.is(supervision.pidOf("b"), 1);
  await supervision.stop();
});

test("a part that dies too often ends everything, and the reason is told", async (t) => {
  const diary: string[] = [];
  const [a, b] = [toy("a", diary), toy("b", diary)];
  const supervision = supervise([a, b], OPTIONS);
  await supervision.ready;
  for (const pid of [1, 2, 3]) {
    t.true(await restarted(supervision, "b", pid));
    b.die();
  }
  const error = await t.throwsAsync(supervision.done, { instanceOf: Fault, name: "Unavailable" });
  t.regex(error?.message ?? "", /b ended 3 times in 60 s; the last time died/);
  t.is(diary.at(-1), "a drained");
});

test("a hopeless start is not repeated and ends what had started", async (t) => {
  const diary: string[] = [];
  const hopeless: Part = { name: "b", start: () => Promise.reject(new Hopeless("Unavailable", "no use")) };
  const supervision = supervise([toy("a", diary), hopeless, toy("c", diary)], OPTIONS);
  await t.throwsAsync(supervision.ready, { message: "no use" });
  t.deepEqual(diary, ["a starts", "a drained"]);
});

test("a stop while a part is getting ready waits for it and ends it", async (t) => {
  const diary: string[] = [];
  const slow = toy("a", diary);
  let go: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => {
    go = resolve;
  });
  const gated: Part = { name: "a", start: (signal) => gate.then(() => slow.start(signal)) };
  const supervision = supervise([gated, toy("b", diary)], OPTIONS);
  const stopped = supervision.stop();
  go();
  await stopped;
  await t.throwsAsync(supervision.ready, { name: "Cancelled" });
  t.deepEqual(diary, ["a starts", "a drained"]);
});

test("kill ends everything at once, also in the middle of stop", async (t) => {
  const diary: string[] = [];
  const supervision = supervise([toy("a", diary), toy("b", diary, true)], { ...OPTIONS, drainMs: 60_000, drainLeastMs: 60_000 });
  await supervision.ready;
  const stopped = supervision.stop();
  supervision.kill();
  await stopped;
  t.deepEqual(diary.slice(2).sort(), ["a killed", "b killed"]);
});
