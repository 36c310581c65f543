/** What is remembered of the machines of a node. */
import test from "ava";
import { setup } from "xstate";
import { startActor } from "../../../actors/kit/start-actor.ts";
import { Transitions } from "../../../actors/kit/transitions.ts";
import { LIMITS } from "../../../protocol/limits.ts";

type Turn = { readonly type: "on" | "off" | "hum" | "burn"; readonly reason?: string };

const lamp = setup({ types: { events: {} as Turn } }).createMachine({
  id: "lamp",
  initial: "dark",
  states: {
    dark: { on: { on: "lit", burn: "burnt" } },
    lit: { on: { off: "dark", burn: "burnt", hum: {} } },
    burnt: { type: "final" },
  },
});

function rig() {
  const clock = { at: 1_000, epoch: () => clock.at };
  const transitions = new Transitions(clock);
  const start = (id: string) => startActor(lamp, undefined as never, () => undefined, transitions.watch(id));
  return { clock, transitions, start };
}

test("a machine's transitions are kept with time, event and reason; an event that changes no state is none", (t) => {
  const { clock, transitions, start } = rig();
  const actor = start("lamp/1");
  t.like(transitions.find("lamp/1"), { machine: "lamp", state: "dark", since: 1_000, gone: false, transitions: [] });
  clock.at = 2_000;
  actor.send({ type: "on", reason: "somebody came in" });
  actor.send({ type: "hum" });
  clock.at = 3_000;
  actor.send({ type: "off" });
  t.deepEqual(transitions.find("lamp/1"), {
    id: "lamp/1",
    machine: "lamp",
    state: "dark",
    since: 3_000,
    gone: false,
    transitions: [
      { at: 2_000, from: "dark", to: "lit", event: "on", reason: "somebody came in" },
      { at: 3_000, from: "lit", to: "dark", event: "off" },
    ],
  });
});

test("no more than the limit's transitions are kept, the newest ones", (t) => {
  const { clock, transitions, start } = rig();
  const actor = start("lamp/1");
  for (let nth = 0; nth < 100; nth++) {
    clock.at++;
    actor.send({ type: nth % 2 === 0 ? "on" : "off" });
  }
  const kept = transitions.find("lamp/1")?.transitions ?? [];
  t.is(kept.length, LIMITS.transitionsKept.value);
  t.is(kept.at(-1)?.at, 1_100);
});

test("machines that are over are shown after the living, the last to go first, and no more than the limit of them", (t) => {
  const { transitions, start } = rig();
  const count = LIMITS.goneActors.value + 5;
  for (let nth = 0; nth < count; nth++) start(`lamp/${nth}`).send({ type: "burn", reason: "old" });
  start("lamp/new");
  const views = transitions.views();
  t.is(views.length, LIMITS.goneActors.value + 1);
  t.like(views[0], { id: "lamp/new", state: "dark", gone: false });
  t.like(views[1], { id: `lamp/${count - 1}`, state: "burnt", gone: true });
  t.is(transitions.find("lamp/0"), undefined);
});

test("a machine under the id of one before it takes its place, and the one before counts as gone", (t) => {
  const { transitions, start } = rig();
  start("manager").send({ type: "on" });
  start("manager");
  t.deepEqual(
    transitions.views().map(({ state, gone }) => ({ state, gone })),
    [
      { state: "dark", gone: false },
      { state: "lit", gone: true },
    ],
  );
  t.is(transitions.find("manager")?.state, "dark");
});

test("a reason is cut, and a machine whose action throws is shown as failed", (t) => {
  const { transitions, start } = rig();
  const actor = start("lamp/1");
  actor.send({ type: "on", reason: "x".repeat(5_000) });
  t.true((transitions.find("lamp/1")?.transitions[0]?.reason?.length ?? 0) <= 200);
  const broken = setup({ types: { events: {} as { type: "go" } } }).createMachine({
    initial: "still",
    states: {
      still: {
        on: {
          go: {
            target: "moved",
            actions: () => {
              throw new Error("it broke");
            },
          },
        },
      },
      moved: {},
    },
  });
  const failing = startActor(broken, undefined as never, () => undefined, transitions.watch("broken"));
  failing.send({ type: "go" });
  t.like(transitions.find("broken"), { state: "failed", gone: true });
});
