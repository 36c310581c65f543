import test from "ava";
import fc from "fast-check";
import { HotIndex } from "../../../actors/frontend/hot.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import type { HostAnnouncement } from "../../../protocol/messages/host.ts";

const KEY = "main.echo.1@128";

interface Has {
  readonly host?: string;
  readonly idle?: number;
  readonly busy?: number;
  readonly loading?: number;
  readonly queued?: number;
  readonly meanRunMs?: number;
  readonly draining?: boolean;
  readonly full?: boolean;
}

const announced = ({
  host = "host-1",
  idle = 0,
  busy = 0,
  loading = 0,
  queued = 0,
  meanRunMs = 0,
  draining = false,
  full = false,
}: Has): HostAnnouncement => ({
  host,
  epoch: "e",
  seq: 1,
  full,
  draining,
  memoryMb: 4_096,
  usedMb: 512,
  cores: 2,
  runtimes: { node: "node 20.20.2" },
  network: true,
  instances: [
    {
      id: `${host}-i1`,
      runtime: "node",
      memoryMb: 512,
      usedMb: 512,
      state: "active",
      account: "main",
      network: false,
      spares: 0,
      booting: 0,
      slots: [{ key: KEY, idle, busy, loading }],
      code: ["main.echo.1"],
    },
  ],
  gone: [],
  functions: [{ account: "main", function: "echo", calls: 10, meanRunMs, queued }],
  createMs: { cached: 3, own: 4, warm: 5, cold: 60 },
});

const knowing = (...all: Has[]): HotIndex => {
  const index = new HotIndex();
  for (const one of all) index.announced(announced(one));
  return index;
};

test("F025 an idle container is lent once until its host announces again", (t) => {
  const index = knowing({ idle: 1 });
  t.is(index.borrow(KEY, true)?.host, "host-1");
  t.is(index.borrow(KEY, true), undefined);
  index.announced(announced({ idle: 1 }));
  t.is(index.borrow(KEY, true)?.host, "host-1");
});

test("F025 short calls are sent behind busy containers as far as these work them off before they are heard again", (t) => {
  fc.assert(
    fc.property(
      fc.record({
        idle: fc.integer({ min: 0, max: 8 }),
        busy: fc.integer({ min: 0, max: 8 }),
        queued: fc.integer({ min: 0, max: 500 }),
        meanRunMs: fc.double({ min: 0.01, max: 100, noNaN: true }),
      }),
      (has) => {
        const index = knowing(has);
        let sent = 0;
        while (index.borrow(KEY, true) !== undefined && sent < 100_000) sent++;
        const serving = has.idle + has.busy;
        const work = (calls: number) => (has.meanRunMs * (has.queued + calls - has.idle)) / serving;
        t.true(sent >= has.idle);
        if (sent > has.idle) t.true(work(sent) <= LIMITS.announceEvery.value);
        if (serving > 0) t.true(work(sent + 1) > LIMITS.announceEvery.value);
      },
    ),
  );
});

test("F025 nothing is sent behind a busy container while it is unknown how long a call takes, or where only an idle one will do", (t) => {
  t.is(knowing({ busy: 2 }).borrow(KEY, true), undefined);
  t.is(knowing({ busy: 2, meanRunMs: 0.1 }).borrow(KEY, false), undefined);
  t.is(knowing({ busy: 2, meanRunMs: LIMITS.announceEvery.value * 3 }).borrow(KEY, true), undefined);
  t.is(knowing({ loading: 2, meanRunMs: 0.1 }).borrow(KEY, true), undefined);
});

test("F025 of several hosts the one with the shortest queue is taken, and none that leaves or is lost", (t) => {
  const index = knowing({ host: "a", busy: 1, meanRunMs: 1, queued: 5 }, { host: "b", busy: 1, meanRunMs: 1, queued: 2 });
  t.is(index.borrow(KEY, true)?.host, "b");
  index.announced(announced({ host: "b", busy: 1, meanRunMs: 1, queued: 0, draining: true }));
  t.is(index.borrow(KEY, true)?.host, "a");
  index.lost("a");
  t.is(index.borrow(KEY, true), undefined);
});

test("what a full announcement does not name is forgotten", (t) => {
  const index = knowing({ idle: 1 });
  index.announced({ ...announced({ full: true }), instances: [], functions: [] });
  t.is(index.borrow(KEY, true), undefined);
});

test("F025 below a function's own cap nothing is sent behind a busy container, since only its keeper may have another one made", (t) => {
  const busy = (host: string) => ({ host, busy: 2, meanRunMs: 0.1 });
  t.is(knowing(busy("a"), busy("b")).borrow(KEY, true, 5), undefined);
  t.not(knowing(busy("a"), busy("b")).borrow(KEY, true, 4), undefined);
  t.is(knowing({ idle: 1 }).borrow(KEY, true, 5)?.host, "host-1");
});
