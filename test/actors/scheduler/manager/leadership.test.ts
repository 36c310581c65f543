import test, { type ExecutionContext } from "ava";
import fc from "fast-check";
import { LIMITS } from "../../../../protocol/limits.ts";
import type { Fate } from "../../../support/memory-lease.ts";
import { type Candidate, Candidates } from "./candidates.ts";

const TAKEOVER_MS = LIMITS.leaseTakeover.value;
const LIFE_MS = LIMITS.leaseLife.value;
/** What looking at the clock may add, and a heartbeat that was about to come. */
const BLUR_MS = 200;

async function led(count: number): Promise<{ all: Candidates; leader: Candidate; other: Candidate }> {
  const all = new Candidates(count);
  await all.clock.advance(2_000);
  const [leader] = all.leaders();
  const other = [...all.living.values()].find((one) => one !== leader);
  if (leader === undefined) throw new Error("nobody leads");
  return { all, leader, other: other ?? leader };
}

const onlyLeader = (t: ExecutionContext, all: Candidates): Candidate | undefined => {
  const leaders = all.leaders();
  t.is(leaders.length, 1, leaders.map(({ node }) => node.id).join());
  return leaders[0];
};

test("a scheduler that is alone leads within moments of its start", async (t) => {
  const all = new Candidates(1);
  await all.clock.advance(100);
  onlyLeader(t, all);
});

test("of several that start at once exactly one leads, and it goes on", async (t) => {
  const { all, leader } = await led(5);
  await all.clock.advance(60_000);
  t.is(onlyLeader(t, all), leader);
  t.is(leader.changes.length, 1);
});

test("a leader that dies is followed when its heartbeat was silent for long enough, and not before", async (t) => {
  const { all, leader, other } = await led(2);
  leader.node.kill();
  await all.clock.advance(TAKEOVER_MS - LIMITS.nodeHeartbeat.value - BLUR_MS);
  t.is(other.leadership.epoch, undefined);
  await all.clock.advance(LIMITS.nodeHeartbeat.value + 2 * BLUR_MS);
  t.true((other.leadership.epoch ?? 0) > (leader.leadership.epoch ?? Number.POSITIVE_INFINITY));
  t.is(other.changes[0]?.from, leader.node.id);
});

test("a leader that starts again under its name leads again at once", async (t) => {
  const { all, leader } = await led(2);
  all.living.delete(leader.node.id);
  leader.node.kill();
  const again = all.begin(leader.node.id);
  await all.clock.advance(BLUR_MS);
  t.is(onlyLeader(t, all), again);
});

test("a leader that leaves gives the lease back, and another has it at once", async (t) => {
  const { all, leader, other } = await led(2);
  leader.isDraining = true;
  await Promise.all([leader.leadership.drain(), all.clock.advance(BLUR_MS)]);
  t.is(leader.leadership.machine.getSnapshot().value, "gone");
  t.not(other.leadership.epoch, undefined);
});

test("a leader that slept gives orders when it wakes, and hosts refuse them", async (t) => {
  const { all, leader, other } = await led(2);
  leader.node.hang(TAKEOVER_MS + 2_000);
  await all.clock.advance(TAKEOVER_MS + 1_900);
  t.not(other.leadership.epoch, undefined);
  const asleep = all.orders.length;
  await all.clock.advance(2_000);
  const after = all.orders.slice(asleep);
  t.true(after.some(({ life, isObeyed }) => life === leader.life && !isObeyed));
  t.false(after.some(({ life, isObeyed }) => life === leader.life && isObeyed));
  t.is(onlyLeader(t, all), other);
  await all.clock.advance(LIFE_MS);
  t.is(onlyLeader(t, all), other);
});

test("a leader that slept for longer than its lease lives gives no order at all when it wakes", async (t) => {
  const { all, leader } = await led(2);
  leader.node.hang(LIFE_MS + 1_000);
  await all.clock.advance(LIFE_MS + 900);
  const asleep = all.orders.length;
  await all.clock.advance(5_000);
  t.false(all.orders.slice(asleep).some(({ life }) => life === leader.life));
});

test("no judge takes the lease for silence that it could not have heard through", async (t) => {
  const { all, leader, other } = await led(2);
  other.node.cut(TAKEOVER_MS + 1_000);
  await all.clock.advance(TAKEOVER_MS + 2_000);
  t.is(onlyLeader(t, all), leader);
  other.node.hang(TAKEOVER_MS + 1_000);
  await all.clock.advance(TAKEOVER_MS + 3_000);
  t.is(onlyLeader(t, all), leader);
});

test("a store that answers nothing for as long as an election takes deposes nobody", async (t) => {
  for (const fates of [["refused"], ["unanswered"], ["refused", "unanswered"]] as const) {
    const { all, leader } = await led(3);
    const { epoch } = leader.leadership;
    all.fates = fates;
    all.stall(9_000);
    await all.clock.advance(30_000);
    t.is(onlyLeader(t, all), leader, fates.join());
    t.is(leader.leadership.epoch, epoch);
    t.is(leader.changes.length, 1);
  }
});

test("a leader that cannot renew its lease for as long as it lives steps down by its own clock, and somebody leads when writes work again", async (t) => {
  const { all, leader } = await led(2);
  all.fates = ["refused"];
  all.stall(LIFE_MS + 5_000);
  await all.clock.advance(LIFE_MS + BLUR_MS);
  t.is(leader.leadership.epoch, undefined);
  t.is(all.leaders().length, 0);
  await all.clock.advance(6_000);
  onlyLeader(t, all);
});

test("a write that was not answered, but done, is found by reading", async (t) => {
  const { all, leader } = await led(2);
  const { epoch } = leader.leadership;
  all.fates = ["unanswered"];
  all.stall(LIMITS.leaseRenew.value);
  await all.clock.advance(LIFE_MS * 2);
  t.is(leader.leadership.epoch, epoch);
  t.is(leader.changes.length, 1);
});

test("where the bucket was made anew hosts obey again after a while, though epochs began again", async (t) => {
  const { all, leader } = await led(1);
  // As after many renewals.
  leader.leadership.fenced(1);
  t.not(leader.leadership.epoch, undefined);
  leader.leadership.fenced(1_000_000);
  t.is(leader.leadership.epoch, undefined);
  await all.clock.advance(TAKEOVER_MS - 500);
  t.is(all.leaders().length, 0);
  await all.clock.advance(1_500);
  onlyLeader(t, all);
});

const ms = fc.constantFrom(50, 400, 1_000, 2_500, 4_000, 9_000, 16_000);
const which = fc.nat(2);
const step = fc.oneof(
  fc.record({ kind: fc.constant("advance" as const), ms: fc.constantFrom(10, 100, 300, 700, 2_000) }),
  fc.record({ kind: fc.constantFrom("hang" as const, "cut" as const, "kill" as const, "drain" as const), which, ms }),
  fc.record({
    kind: fc.constant("stall" as const),
    ms,
    fates: fc.array(fc.constantFrom<Fate>("refused", "unanswered", "answered"), { minLength: 1, maxLength: 4 }),
  }),
);

/** What must never be, whatever happened. */
function complaints(all: Candidates): string[] {
  const said: string[] = [];
  const owners = new Map<number, string>();
  const highest = new Map<string, number>();
  const writtenAt = new Map<string, number>();
  for (const { value, at } of all.lease.written) writtenAt.set(`${value.life} ${at}`, at);
  for (const { host, epoch, life, at, isObeyed } of all.orders) {
    if ((owners.get(epoch) ?? life) !== life) said.push(`epoch ${epoch} is of ${owners.get(epoch)} and ${life}`);
    owners.set(epoch, life);
    const known = highest.get(host) ?? 0;
    if (isObeyed !== epoch >= known) said.push(`${host} has heard of ${known}, and ${isObeyed ? "obeys" : "refuses"} ${epoch} at ${at}`);
    highest.set(host, Math.max(known, epoch));
    // A leader orders only while it may hold the lease by its own clock.
    const last = all.lease.written.findLast((row) => row.value.life === life && row.at <= at);
    if (last === undefined || at - last.at >= LIFE_MS + 10)
      said.push(`${life} orders at ${at}, ${at - (last?.at ?? 0)} ms after its last write`);
  }
  return said;
}

test("whatever happens to schedulers and store, hosts obey no older leader than they have heard of, and in the end one leads", async (t) => {
  t.timeout(600_000);
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      const all = new Candidates(3);
      await all.clock.advance(300);
      for (const one of steps) {
        if (one.kind === "advance") await all.clock.advance(one.ms);
        else if (one.kind === "stall") {
          all.fates = one.fates;
          all.stall(one.ms);
        } else {
          const candidate = all.at(one.which);
          if (candidate === undefined) continue;
          if (one.kind === "kill" || one.kind === "drain") all[one.kind](candidate, one.ms);
          else candidate.node[one.kind](one.ms);
        }
      }
      // The longest trouble is over, and the longest takeover after it.
      await all.clock.advance(16_000 + LIFE_MS + 2 * TAKEOVER_MS);
      const leaders = all.leaders();
      const said = complaints(all);
      if (leaders.length !== 1) said.push(`${leaders.length} lead in the end`);
      const [leader] = leaders;
      const last = all.orders.at(-1);
      if (leader !== undefined && (last?.life !== leader.life || !last.isObeyed || all.clock.now() - last.at > 200))
        said.push("its orders are not obeyed");
      if (all.log.find("error").length > 0) said.push("an error was logged");
      if (said.length > 0) throw new Error(said.slice(0, 5).join("\n"));
    }),
    { numRuns: 60 },
  );
  t.pass();
});

test("whatever the store does for as long as an election takes, and whoever else comes and goes, a leader that is well goes on", async (t) => {
  t.timeout(600_000);
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.oneof(
          fc.record({ kind: fc.constant("advance" as const), ms: fc.constantFrom(100, 700, 2_000) }),
          fc.record({ kind: fc.constantFrom("hang" as const, "cut" as const, "kill" as const), ms }),
          fc.record({
            kind: fc.constant("stall" as const),
            fates: fc.array(fc.constantFrom<Fate>("refused", "unanswered"), { minLength: 1, maxLength: 3 }),
          }),
        ),
        { minLength: 3, maxLength: 25 },
      ),
      async (steps) => {
        const { all, leader } = await led(2);
        const { epoch } = leader.leadership;
        let stalled = Number.NEGATIVE_INFINITY;
        for (const one of steps) {
          if (one.kind === "advance") await all.clock.advance(one.ms);
          else if (one.kind === "stall") {
            // Renewals work in between: else it is one long stall.
            if (all.clock.now() - stalled < 9_000 + 2 * LIMITS.leaseRenew.value) continue;
            stalled = all.clock.now();
            all.fates = one.fates;
            all.stall(9_000);
          } else {
            const other = [...all.living.values()].find((candidate) => candidate !== leader);
            if (other === undefined) continue;
            if (one.kind === "kill") all.kill(other, one.ms);
            else other.node[one.kind](one.ms);
          }
        }
        await all.clock.advance(30_000);
        if (leader.leadership.epoch !== epoch || leader.changes.length !== 1)
          throw new Error(`it was deposed: ${JSON.stringify(leader.changes)}`);
      },
    ),
    { numRuns: 40 },
  );
  t.pass();
});
