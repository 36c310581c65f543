import test from "ava";
import fc from "fast-check";
import { WaitingRoom } from "../../../../actors/scheduler/keeper/room.ts";

test("a source that sends one call is drawn at once, however many another has waiting", (t) => {
  const room = new WaitingRoom<string>();
  for (let nth = 0; nth < 100; nth++) room.add("flood", `f${nth}`);
  room.add("single", "s");
  const drawn = [room.draw(), room.draw()].map((found) => found?.item);
  t.deepEqual(drawn, ["f0", "s"]);
});

test("what is put back is the next again", (t) => {
  const room = new WaitingRoom<number>();
  room.add("a", 1);
  room.add("a", 2);
  room.add("b", 3);
  const first = room.draw();
  if (first !== undefined) room.putBack(first.source, first.item);
  t.is(room.draw()?.item, 1);
  t.is(room.size, 2);
});

test("nothing is lost or doubled, and each source keeps its order, whatever is added, drawn, put back and removed", (t) => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant("add" as const), source: fc.constantFrom("a", "b", "c") }),
    fc.record({ kind: fc.constant("draw" as const) }),
    fc.record({ kind: fc.constant("putBack" as const) }),
    fc.record({ kind: fc.constant("remove" as const), modulo: fc.integer({ min: 2, max: 5 }) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const room = new WaitingRoom<{ source: string; id: number }>();
      const inside = new Set<number>();
      let next = 0;
      for (const action of steps) {
        if (action.kind === "add") {
          inside.add(next);
          room.add(action.source, { source: action.source, id: next++ });
        } else if (action.kind === "remove") {
          for (const { id } of room.remove(({ id }) => id % action.modulo === 0)) if (!inside.delete(id)) return false;
        } else {
          const drawn = room.draw();
          if (drawn === undefined) continue;
          if (action.kind === "putBack") room.putBack(drawn.source, drawn.item);
          else if (!inside.delete(drawn.item.id)) return false;
        }
        if (room.size !== inside.size) return false;
      }
      const last = new Map<string, number>();
      for (let drawn = room.draw(); drawn !== undefined; drawn = room.draw()) {
        const { source, id } = drawn.item;
        if (drawn.source !== source || id <= (last.get(source) ?? -1)) return false;
        last.set(source, id);
        inside.delete(id);
      }
      return inside.size === 0;
    }),
  );
  t.pass();
});
