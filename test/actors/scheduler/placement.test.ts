import test from "ava";
import fc from "fast-check";
import { Fleet } from "../../../actors/scheduler/fleet.ts";
import { type PlacementRequest, place, type Verdict } from "../../../actors/scheduler/placement/index.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import type { HostAnnouncement, InstanceHint } from "../../../protocol/messages/host.ts";
import { announcement, instance, request, warmInstance } from "../../support/fleet.ts";

const slot = (change: Partial<InstanceHint["slots"][number]> = {}) => ({ key: "main.echo.1@128", idle: 0, busy: 0, loading: 0, ...change });

function fleetOf(...hosts: HostAnnouncement[]): Fleet {
  const fleet = new Fleet();
  for (const host of hosts) fleet.announced(host);
  return fleet;
}

function placed(verdict: Verdict): Extract<Verdict, { kind: "place" }> {
  if (verdict.kind !== "place") throw new Error(`expected a place, got ${JSON.stringify(verdict)}`);
  return verdict;
}

/** Orders what was decided, as the keeper does. */
function order(fleet: Fleet, number: number, asked: PlacementRequest, verdict: Extract<Verdict, { kind: "place" }>): void {
  const { key, functionKey, account, runtime, memoryMb } = asked;
  fleet.order(number, {
    host: verdict.host,
    rung: verdict.rung,
    instance: verdict.instance,
    key,
    functionKey,
    account,
    runtime,
    memoryMb,
  });
}

test("F011 an idle container with the code is used before anything else", (t) => {
  const fleet = fleetOf(announcement({ instances: [instance({ slots: [slot({ idle: 1 })], code: ["main.echo.1"] }), warmInstance("w1")] }));
  t.is(placed(place(request(), fleet)).rung, "hot");
});

test("F025 calls of a function that is known to be short wait for the container that is being made, also before the host announces it", (t) => {
  const functions = [{ account: "main", function: "echo", calls: 100, meanRunMs: 0.5, queued: 0 }];
  const fleet = fleetOf(announcement({ instances: [instance({ spares: 0, code: ["main.echo.0"] })], functions }));
  const first = placed(place(request(), fleet));
  order(fleet, 1, request(), first);
  const second = placed(place(request(), fleet));
  t.is(second.rung, "hot");
  t.true(second.queue);
  fleet.settled(1);
  t.is(place(request(), fleet).kind, "place");
});

test("F025 calls of a function that has never run are not held up by each other", (t) => {
  const fleet = fleetOf(announcement({ instances: [instance({ spares: 0 })] }));
  order(fleet, 1, request(), placed(place(request(), fleet)));
  t.is(placed(place(request(), fleet)).rung, "own");
});

test("F012 code that is on an instance without a free container gives a new container there", (t) => {
  const fleet = fleetOf(
    announcement({ instances: [instance({ slots: [slot({ busy: 1 })], usedMb: 128, code: ["main.echo.1"] }), warmInstance("w1")] }),
  );
  const verdict = placed(place(request(), fleet));
  t.is(verdict.rung, "cached");
  t.is(verdict.instance, "i1");
});

test("F013 other code of the account goes to the account's own instance", (t) => {
  const fleet = fleetOf(
    announcement({
      instances: [
        instance({ slots: [slot({ key: "main.other.1@128", idle: 1 })], usedMb: 128, code: ["main.other.1"] }),
        warmInstance("w1"),
      ],
    }),
  );
  const verdict = placed(place(request(), fleet));
  t.is(verdict.rung, "own");
  t.is(verdict.instance, "i1");
});

test("F014 an account without an instance takes a warm one", (t) => {
  t.is(placed(place(request(), fleetOf(announcement({ instances: [warmInstance("w1")] })))).rung, "warm");
});

test("F015 with nothing warm an instance is booted", (t) => {
  t.is(placed(place(request(), fleetOf(announcement()))).rung, "cold");
});

test("F016 an instance with the code but too little free memory is skipped", (t) => {
  const full = instance({ id: "full", usedMb: 1_000, code: ["main.echo.1"] });
  const roomy = instance({ id: "roomy" });
  const verdict = placed(place(request(), fleetOf(announcement({ instances: [full, roomy] }))));
  t.deepEqual([verdict.rung, verdict.instance], ["own", "roomy"]);
});

test("F017 an instance of another account is never used", (t) => {
  const fleet = fleetOf(announcement({ instances: [instance({ account: "other", code: ["main.echo.1"], slots: [] })] }));
  t.is(placed(place(request(), fleet)).rung, "cold");
});

test("F019 only an instance of the code's language is chosen", (t) => {
  const fleet = fleetOf(announcement({ instances: [instance({ runtime: "python" }), warmInstance("w1", { runtime: "python" })] }));
  t.is(placed(place(request(), fleet)).rung, "cold");
});

test("F020 a demand on the runtime's version is met or refused with what there is", (t) => {
  const fleet = fleetOf(announcement({ instances: [warmInstance("w1")] }));
  t.is(placed(place(request({ runtimeWanted: "node@20" }), fleet)).rung, "warm");
  t.is(placed(place(request({ runtimeWanted: "node@20.20" }), fleet)).rung, "warm");
  for (const runtimeWanted of ["node@22", "node@2", "python@3.11"]) {
    const verdict = place(request({ runtimeWanted }), fleet);
    t.is(verdict.kind, "refuse");
    if (verdict.kind === "refuse") t.regex(verdict.reason, /node 20\.20\.2/);
  }
});

test("F025 waiting for a busy container is chosen when it is sooner than a new one, and the other way round", (t) => {
  const busy = (meanRunMs: number) =>
    fleetOf(
      announcement({
        instances: [instance({ slots: [slot({ busy: 2 })], usedMb: 256, code: ["main.echo.1"] })],
        functions: [{ account: "main", function: "echo", calls: 10, meanRunMs, queued: 0 }],
      }),
    );
  const short = place(request(), busy(2));
  t.true(short.kind === "place" && short.rung === "hot" && short.queue === true);
  if (short.kind !== "refuse") t.regex(short.reason, /1\.0 ms.*4\.0 ms/);
  t.is(placed(place(request(), busy(500))).rung, "cached");
});

test("F025 where a new container takes longer than calls may wait, one that has waited half of that gets it all the same", (t) => {
  const fleet = fleetOf(
    announcement({
      instances: [instance({ slots: [slot({ busy: 2 })], usedMb: 256, spares: 0, code: ["main.echo.1"] })],
      functions: [{ account: "main", function: "echo", calls: 10, meanRunMs: 2_000, queued: 0 }],
      createMs: { cached: 9_000, own: 9_000, warm: 9_000, cold: 9_000 },
    }),
  );
  const half = LIMITS.waitForPlace.value / 2;
  t.is(place(request({ waitedMs: half - 1 }), fleet).kind, "wait");
  t.is(place(request({ waitedMs: half + 1 }), fleet).kind, "place");
});

test("F025 calls that wait at the host count towards the wait, so that a longer queue makes another container", (t) => {
  const queueing = (queued: number) =>
    fleetOf(
      announcement({
        instances: [instance({ slots: [slot({ busy: 2 })], usedMb: 256, code: ["main.echo.1"] })],
        functions: [{ account: "main", function: "echo", calls: 10, meanRunMs: 1, queued }],
      }),
    );
  t.is(placed(place(request(), queueing(2))).rung, "hot");
  t.is(placed(place(request(), queueing(20))).rung, "cached");
});

test("when nothing is free, idle containers of other code make room; busy ones and the function's own do not", (t) => {
  const full = (slots: InstanceHint["slots"]) =>
    fleetOf(announcement({ memoryMb: 1_000, usedMb: 1_000, instances: [instance({ usedMb: 1_000, slots })] }));
  t.is(placed(place(request(), full([slot({ key: "main.other.1@512", idle: 1 })]))).rung, "own");
  t.is(place(request(), full([slot({ key: "main.other.1@512", busy: 1 })])).kind, "wait");
  const elsewhere = fleetOf(
    announcement({
      memoryMb: 1_000,
      usedMb: 1_000,
      instances: [instance({ account: "b", usedMb: 1_000, slots: [slot({ key: "b.other.1@512", idle: 1 })] })],
    }),
  );
  t.is(placed(place(request(), elsewhere)).rung, "cold");
});

test("where hosts answer directly, a call that finds no better place joins the shortest queue there", (t) => {
  const busy = (host: string, queued: number) =>
    announcement({
      host,
      instances: [instance({ id: `${host}-i`, slots: [slot({ busy: 1 })], usedMb: 128 })],
      functions: [{ account: "main", function: "echo", calls: 10, meanRunMs: 500, queued }],
    });
  const fleet = fleetOf(busy("h1", 5), busy("h2", 3));
  const capped = { functionCap: 2 };
  t.is(place(request(capped), fleet).kind, "wait");
  const verdict = placed(place(request({ ...capped, mayQueue: true }), fleet));
  t.deepEqual([verdict.rung, verdict.host], ["hot", "h2"]);
});

test("calls that are sent to queues of hosts between two announcements are spread over them by their containers", (t) => {
  const busy = (host: string, containers: number) =>
    announcement({
      host,
      instances: [instance({ id: `${host}-i`, slots: [slot({ busy: containers })], usedMb: 128 * containers })],
      functions: [{ account: "main", function: "echo", calls: 10, meanRunMs: 10, queued: 4 * containers }],
    });
  const fleet = fleetOf(busy("h1", 1), busy("h2", 1), busy("h3", 2));
  const asked = request({ functionCap: 4, mayQueue: true });
  const sent: Record<string, number> = {};
  for (let call = 1; call <= 40; call++) {
    const verdict = placed(place(asked, fleet));
    order(fleet, call, asked, verdict);
    sent[verdict.host] = (sent[verdict.host] ?? 0) + 1;
  }
  t.deepEqual(sent, { h1: 10, h2: 10, h3: 20 });
});

test("F039 the fullest instance that has room is chosen, so that others empty", (t) => {
  const fleet = fleetOf(announcement({ instances: [instance({ id: "empty" }), instance({ id: "fuller", usedMb: 512 })] }));
  t.is(placed(place(request(), fleet)).instance, "fuller");
});

test("F022 a burst of first calls takes one instance, and the rest become its containers", (t) => {
  const fleet = fleetOf(announcement({ instances: [warmInstance("w1"), warmInstance("w2"), warmInstance("w3")] }));
  const first = placed(place(request(), fleet));
  order(fleet, 1, request(), first);
  t.is(first.rung, "warm");
  t.is(place(request(), fleet).kind, "wait");
  fleet.announced(
    announcement({
      seq: 2,
      instances: [instance({ id: "w1", usedMb: 128, spares: 0, slots: [slot({ loading: 1 })] }), warmInstance("w2"), warmInstance("w3")],
    }),
  );
  fleet.settled(1);
  for (let call = 2; call <= 5; call++) {
    const verdict = placed(place(request(), fleet));
    t.is(verdict.instance, "w1");
    order(fleet, call, request(), verdict);
  }
});

test("a host that drains, or refused this call, is not asked", (t) => {
  t.is(place(request(), fleetOf(announcement({ draining: true, instances: [warmInstance("w1")] }))).kind, "wait");
  const verdict = placed(place(request({ refusedBy: new Set(["h1:warm"]) }), fleetOf(announcement({ instances: [warmInstance("w1")] }))));
  t.is(verdict.rung, "cold");
});

test("an amount that no host has is refused rather than waited for", (t) => {
  const verdict = place(request({ memoryMb: 16_000, key: "main.echo.1@16000" }), fleetOf(announcement()));
  t.is(verdict.kind === "refuse" && verdict.error, "ConfigurationUnavailable");
});

test("a function with network is placed only where a host can give it one, and refused with the remedy where none can", (t) => {
  const unable = announcement({ network: false });
  const refused = place(request({ network: true }), fleetOf(unable));
  t.is(refused.kind === "refuse" && refused.error, "ConfigurationUnavailable");
  if (refused.kind === "refuse") t.regex(refused.reason, /slirp4netns/);
  t.is(place(request(), fleetOf(unable)).kind, "place");
  t.is(placed(place(request({ network: true }), fleetOf(unable, announcement({ host: "h2", usedMb: 0 })))).host, "h2");
});

test("the first picture of a host is believed only when it is whole", (t) => {
  const fleet = new Fleet();
  fleet.announced(announcement({ full: false }));
  t.is(fleet.hosts().length, 0);
});

test("the caps of function and account, and the memory of hosts, are never overshot by any sequence of orders", (t) => {
  const calls = fc.array(fc.record({ name: fc.constantFrom("echo", "other"), memoryMb: fc.constantFrom(64, 128, 256, 512) }), {
    maxLength: 60,
  });
  const property = fc.property(
    calls,
    fc.integer({ min: 1, max: 6 }),
    fc.integer({ min: 1, max: 8 }),
    fc.integer({ min: 256, max: 4_096 }),
    (sequence, functionCap, accountCap, memoryMb) => {
      const fleet = fleetOf(announcement({ memoryMb, instances: [instance({ spares: 2 }), warmInstance("w1"), warmInstance("w2")] }));
      let given = 0;
      let number = 1;
      const perFunction = new Map<string, number>();
      for (const call of sequence) {
        const asked = request({
          functionKey: `main.${call.name}`,
          codeKey: `main.${call.name}.1`,
          key: `main.${call.name}.1@${call.memoryMb}`,
          memoryMb: call.memoryMb,
          functionCap,
          accountCap,
        });
        const verdict = place(asked, fleet);
        if (verdict.kind !== "place") continue;
        order(fleet, number++, asked, verdict);
        given += call.memoryMb;
        perFunction.set(call.name, (perFunction.get(call.name) ?? 0) + 1);
      }
      const counts = [...perFunction.values()];
      return (
        given <= memoryMb && counts.every((count) => count <= functionCap) && counts.reduce((sum, count) => sum + count, 0) <= accountCap
      );
    },
  );
  fc.assert(property, { numRuns: 300 });
  t.pass();
});

test("near a cap a new keeper waits; a keeper has only so many containers on order, and near an account's cap one at a time beside other keepers", (t) => {
  const host = announcement({ memoryMb: 100_000, instances: [instance({ memoryMb: 100_000, spares: 1_000 })] });
  const most = LIMITS.functionOrders.value;
  const kind = (change: Partial<PlacementRequest>, ordered = 0) => {
    const fleet = fleetOf(host);
    for (let number = 1; number <= ordered; number++) order(fleet, number, request(), placed(place(request(), fleet)));
    return place(request(change), fleet).kind;
  };
  t.is(kind({ isNew: true, functionCap: most }), "wait");
  t.is(kind({ isNew: true, functionCap: most + 1 }), "place");
  t.is(kind({ isNew: true, accountCap: LIMITS.accountOrders.value }), "wait");
  t.is(kind({ isNew: false, functionCap: 1 }), "place");
  t.is(kind({}, most), "wait");
  t.is(kind({ otherKeepers: 1, accountCap: 10 }), "place");
  t.is(kind({ otherKeepers: 1, accountCap: 10 }, 1), "wait");
  t.is(kind({ otherKeepers: 1 }, 1), "place");
  t.is(kind({ otherKeepers: 0, accountCap: 10 }, 1), "place");
});
