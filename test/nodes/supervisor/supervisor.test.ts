/** Order, restarts and ends, with parts that are only promises. */
import test from "ava";
import { systemClock } from "../../../nodes/io/clock.ts";
import { until } from "../../../nodes/io/until.ts";
import { Hopeless, type Part, type RunningPart } from "../../../nodes/supervisor/part.ts";
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

/** A part that writes down what happens to it. `stubborn`: only `kill` ends it. `more`: of a part that is special. */
function toy(name: string, diary: string[], stubborn = false, more: Partial<Part> & Pick<Partial<RunningPart>, "promisedMs"> = {}): Toy {
  let pid = 0;
  let end: (how: string) => void = () => undefined;
  const { promisedMs, ...rest } = more;
  return {
    name,
    ...rest,
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
        ...(promisedMs && { promisedMs }),
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

test("parts of one stage stop at the same time, after those that stand before them, each with all the time that is left", async (t) => {
  const diary: string[] = [];
  const told: number[] = [];
  const hosts = Array.from({ length: 12 }, (_, nth) => toy(`h${nth}`, diary, true, { stage: "host" }));
  for (const host of hosts) {
    const { start } = host;
    Object.assign(host, {
      start: async (signal: AbortSignal) => ({
        ...(await start(signal)),
        drain(waitMs: number) {
          told.push(waitMs);
          // Only the last one's asking lets all of them end.
          if (told.length === hosts.length) for (const one of hosts) one.die();
        },
      }),
    });
  }
  const parts = [toy("f", diary, false, { stage: "frontend" }), ...hosts, toy("g", diary, false, { stage: "gateway" })];
  const supervision = supervise(parts, { ...OPTIONS, drainMs: 60_000 });
  await supervision.ready;
  await supervision.stop();
  t.deepEqual(diary.slice(parts.length), ["g drained", "f drained"]);
  t.is(told.length, 12);
  t.true(
    told.every((waitMs) => waitMs > 30_000 && waitMs === told[0]),
    told.join(),
  );
});

test("a part that was promised more time from afar has it, and what stops after it has its own", async (t) => {
  const diary: string[] = [];
  const said: string[] = [];
  let waited = 0;
  let frontendHas = 0;
  const host = toy("h", diary, true, { stage: "host", promisedMs: () => 30_000 });
  const frontend = toy("f", diary);
  const { start } = frontend;
  const hostEnds = (): void => {
    waited = 25_000;
    host.die();
  };
  const clock = {
    now: () => waited,
    after: (ms: number, action: () => void) => (ms > 20_000 ? systemClock.after(0, hostEnds) : systemClock.after(ms, action)),
  };
  frontend.start = async (signal) => {
    const running = await start(signal);
    const drain = (waitMs: number): void => {
      frontendHas = waitMs;
      running.drain(waitMs);
    };
    return { ...running, drain };
  };
  const supervision = supervise([frontend, host], { ...OPTIONS, drainMs: 1_000, clock, say: (sentence) => said.push(sentence) });
  await supervision.ready;
  await supervision.stop();
  t.deepEqual(diary.slice(2), ["f drained"]);
  t.is(frontendHas, 1_000);
  t.deepEqual(said, ["h was told to drain, and has 30 s left for that"]);
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
