/**
 * The waiting rooms of a keeper, one for each need: the calls of one room can take each other's places, so that one
 * that cannot be placed holds back none that could. Many rooms are looked at in turn, a few at a time.
 */
import type { CallHead } from "../../../protocol/messages/call.ts";
import type { Clock } from "../../kit/ports.ts";
import type { KeptCall } from "./kept-call.ts";
import { WaitingRoom } from "./room.ts";

export interface RoomsPorts {
  readonly clock: Clock;
  /** False: nothing is drawn now. */
  mayDraw(): boolean;
  /** Finds a drawn call its place. False: there is none, it stays, and those behind it with it. */
  place(call: KeptCall): boolean;
}

/** Rooms that are looked at in one go, unless something came up for one of them; and the pause before the next ones. */
const ABREAST = 64;
const DRAW_MS = 10;

export class Rooms {
  readonly #ports: RoomsPorts;
  readonly #rooms = new Map<string, WaitingRoom<KeptCall>>();
  /** Calls by account.function. */
  readonly #waiting = new Map<string, number>();
  /** Slot keys of which a container became idle. */
  readonly #due = new Set<string>();
  #drawing = false;
  #drawingLater = false;
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor(ports: RoomsPorts) {
    this.#ports = ports;
  }

  /** Calls waiting now. */
  get size(): number {
    let size = 0;
    for (const room of this.#rooms.values()) size += room.size;
    return size;
  }

  /** Calls waiting now, by account.function. */
  get waiting(): ReadonlyMap<string, number> {
    return this.#waiting;
  }

  /** The first call of each room. */
  *firsts(): Iterable<KeptCall> {
    for (const { first } of this.#rooms.values()) if (first !== undefined) yield first;
  }

  /** A newcomer: at the end of its source; its room is drawn from at once. */
  add(call: KeptCall): void {
    const room = this.#enter(call, false);
    this.#draw(room);
    if (room.size === 0) this.#rooms.delete(call.roomKey);
  }

  /** One that came back: the next of its source. */
  putBack(call: KeptCall): void {
    this.#enter(call, true);
    this.drawSoon([call.roomKey]);
  }

  /** Takes out all that match. */
  remove(matches: (call: KeptCall) => boolean): KeptCall[] {
    const removed: KeptCall[] = [];
    for (const [key, room] of this.#rooms) {
      for (const call of room.remove(matches)) {
        this.#left(call);
        removed.push(call);
      }
      if (room.size === 0) this.#rooms.delete(key);
    }
    return removed;
  }

  /** Draws after the current burst of messages: from the rooms of the keys, and from others as far as there is time. */
  drawSoon(idle: Iterable<string> = []): void {
    if (this.#rooms.size === 0) return;
    for (const key of idle) if (this.#rooms.has(key)) this.#due.add(key);
    if (this.#drawing) return;
    this.#drawing = true;
    this.#ports.clock.soon(() => {
      this.#drawing = false;
      this.#drawAll();
    });
  }

  #drawAll(): void {
    const now = this.#ports.clock.now();
    for (const key of this.#due) this.#drawFrom(key);
    this.#due.clear();
    if (this.#rooms.size > ABREAST && now - this.#lookedAt < DRAW_MS) return this.#drawLater();
    this.#lookedAt = now;
    const some: string[] = [];
    for (const key of this.#rooms.keys()) if (some.push(key) === ABREAST) break;
    const isAll = some.length === this.#rooms.size;
    for (const key of some) this.#drawFrom(key);
    if (!isAll) this.#drawLater();
  }

  /** What is left of many rooms; one timer at a time. */
  #drawLater(): void {
    if (this.#drawingLater) return;
    this.#drawingLater = true;
    this.#ports.clock.after(DRAW_MS, () => {
      this.#drawingLater = false;
      this.#drawAll();
    });
  }

  /** The room goes to the end of those that are looked at, or away when it is empty. */
  #drawFrom(key: string): void {
    const room = this.#rooms.get(key);
    if (room === undefined) return;
    this.#draw(room);
    this.#rooms.delete(key);
    if (room.size > 0) this.#rooms.set(key, room);
  }

  #draw(room: WaitingRoom<KeptCall>): void {
    if (!this.#ports.mayDraw()) return;
    for (let drawn = room.draw(); drawn !== undefined; drawn = room.draw()) {
      const { item: call } = drawn;
      this.#left(call);
      if (this.#ports.place(call)) continue;
      this.#enter(call, true);
      return;
    }
  }

  #enter(call: KeptCall, isNext: boolean): WaitingRoom<KeptCall> {
    let room = this.#rooms.get(call.roomKey);
    if (room === undefined) this.#rooms.set(call.roomKey, (room = new WaitingRoom()));
    if (isNext) room.putBack(sourceOf(call.head), call);
    else room.add(sourceOf(call.head), call);
    this.#waiting.set(call.functionKey, (this.#waiting.get(call.functionKey) ?? 0) + 1);
    return room;
  }

  /** It has been taken out of its room. */
  #left(call: KeptCall): void {
    const others = (this.#waiting.get(call.functionKey) ?? 0) - 1;
    if (others > 0) this.#waiting.set(call.functionKey, others);
    else this.#waiting.delete(call.functionKey);
  }
}

/** Direct callers are one source each by how they came; triggers and queues will be others. */
function sourceOf(head: CallHead): string {
  return head.chain === undefined ? "callers" : "functions";
}
