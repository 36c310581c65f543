/**
 * The keeper: holds the waiting rooms of the functions that hash to this scheduler and places their calls.
 *
 * K1  A call is sent only against room that hosts have shown; so it bounces at most when a host changed its mind.
 * K2  Its body is kept until a host has taken it. Silence never causes a second placement: only a 503, a refusal,
 *     or the death of the host before it took the call.
 * K3  What cannot be placed waits, bounded in number, bytes and time; its caller hears why.
 * K4  A call is held once, however often its owner sends it; what was taken is remembered for a while.
 * K5  A keeper that slept, or lost the broker, for so long that it may have been declared lost gives its calls back to
 *     their owners, who know whether another keeper has them by now.
 */

import { decode, encode, joinHead, splitHead } from "../../protocol/codec.ts";
import { type ErrorName, Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { type CallHead, callHead, callReport, type Refusal, refusal } from "../../protocol/messages/call.ts";
import { slotKey } from "../../protocol/names.ts";
import type { RuntimeName } from "../../protocol/runtimes.ts";
import { parseBackSubject, SUBJECT } from "../../protocol/subjects.ts";
import type { ColdCause, FunctionClass } from "../../protocol/vocabulary.ts";
import { Absence } from "../kit/absence.ts";
import type { Bus, Message } from "../kit/bus.ts";
import { failureBody, failureHeaders } from "../kit/failure.ts";
import { firstNumber } from "../kit/first-number.ts";
import type { Member, Members } from "../kit/members.ts";
import type { Clock, Log, Random } from "../kit/ports.ts";
import type { Registry } from "../kit/registry.ts";
import type { Fleet } from "./fleet.ts";
import { type PlacementRequest, place, type Verdict } from "./placement/index.ts";
import { WaitingRoom } from "./room.ts";

interface KeptCall {
  readonly number: number;
  readonly head: CallHead;
  body: Uint8Array | undefined;
  readonly reply: string;
  /** The owner's whole back subject. */
  readonly back: string;
  readonly functionKey: string;
  /** Slot key, and what was demanded of the runtime. */
  readonly roomKey: string;
  readonly runtime: RuntimeName;
  readonly network: boolean;
  readonly arrivedAt: number;
  readonly waitUntil: number;
  attempt: number;
  hop: number;
  /** `host:rung` that refused it → the host's announcement of that moment: it is asked again after a newer one. */
  readonly refusedBy: Map<string, number>;
  /** Why it waits, for the message if its time runs out. */
  reason: string;
  sent:
    | { readonly host: string; readonly subject: string; readonly head: CallHead; absentSince: number | undefined; probeAt: number }
    | undefined;
  /** Another keeper may have it: it is not placed again from here. */
  isDoubtful: boolean;
  taken: { readonly host: string; readonly epoch: string } | undefined;
}

export interface KeeperPorts {
  readonly bus: Bus;
  readonly control: Bus;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly registry: Registry;
  readonly fleet: Fleet;
  readonly hosts: Members;
  readonly node: string;
  readonly epoch: string;
  readonly instanceMb: number;
  /** Which life a node that owns calls (frontend or host) is in; undefined while none is heard of. */
  ownerEpoch(node: string): string | undefined;
  classOf(account: string, name: string): FunctionClass;
  /** True while some host may answer the function (account.function) directly. */
  granted(functionKey: string): boolean;
  count(counter: string): void;
}

const RETRY_MS = 100;
const NOTHING = new Uint8Array(0);
/** An order of which nothing was heard for this long may have been lost on the way, or the report was: its host is asked. */
const PROBE_MS = 500;
/** Rooms that are looked at in one go, unless something came up for one of them; and the pause before the next ones. */
const ABREAST = 64;
const DRAW_MS = 10;
/** Views into a large read buffer are copied when they wait, unless the copy would cost more than it saves. */
const COPY_BELOW = 16_384;

export class Keeper {
  readonly #ports: KeeperPorts;
  /**
   * By what a call needs: the calls of one room can take each other's places, so that one that cannot be placed holds
   * back none that could.
   */
  readonly #rooms = new Map<string, WaitingRoom<KeptCall>>();
  /** Calls that were sent to a host, until they are done. */
  readonly #sent = new Map<number, KeptCall>();
  /** Functions that have had a container before, for the cause of a cold start. */
  readonly #seen = new Map<string, string>();
  /** Long direct calls by host: what the keeper answers if the host dies. */
  readonly #long = new Map<string, Map<string, string>>();
  /** Calls that no host has taken, by their ids: an owner that believed this keeper lost may send them again (K4). */
  readonly #held = new Set<string>();
  /** Calls that a host has taken, oldest first; at most LIMITS.seenCalls. */
  readonly #taken = new Set<string>();
  #next: number;
  #bytes = 0;
  #drawing = false;
  #drawingLater = false;
  /** Slot keys of which a container became idle. */
  readonly #due = new Set<string>();
  /** Waiting calls by account.function. */
  readonly #waiting = new Map<string, number>();
  readonly #absence: Absence;
  #lookedAt = Number.NEGATIVE_INFINITY;
  /** Until when what arrives had piled up. */
  #pilingUntil = 0;

  constructor(ports: KeeperPorts) {
    this.#ports = ports;
    this.#next = firstNumber(ports.random);
    this.#absence = new Absence(ports.clock, [ports.bus, ports.control]);
  }

  /** Calls waiting now, by account.function. */
  waiting(): Record<string, number> {
    return Object.fromEntries(this.#waiting);
  }

  /** What it holds now; at rest all are 0. */
  held(): { waiting: number; sent: number; bytes: number; untaken: number; long: number } {
    let waiting = 0;
    let long = 0;
    for (const room of this.#rooms.values()) waiting += room.size;
    for (const calls of this.#long.values()) long += calls.size;
    return { waiting, sent: this.#sent.size, bytes: this.#bytes, untaken: this.#held.size, long };
  }

  /** The first waiting call of each room: its slot key, for how long it has waited, and why. */
  waits(): { key: string; account: string; memoryMb: number; waitedMs: number; reason: string }[] {
    const waits = [];
    for (const room of this.#rooms.values()) {
      const call = room.first;
      if (call === undefined) continue;
      const { account, function: name, version, inline, memoryMb } = call.head;
      waits.push({
        key: slotKey(account, name, inline?.digest ?? version, memoryMb),
        account,
        memoryMb,
        waitedMs: this.#ports.clock.now() - call.arrivedAt,
        reason: call.reason,
      });
    }
    return waits;
  }

  /** A call that a frontend or host asks us to place. */
  arrived(message: Message): void {
    const back = parseBackSubject(message.reply);
    if (back === undefined) return this.#ports.count("dropped.badReply");
    if (!this.#isWell()) return this.#giveBack(message.reply);
    let head: CallHead;
    let body: Uint8Array;
    try {
      const whole = splitHead(message.body);
      head = callHead.parse(whole.head);
      body = whole.body;
    } catch (thrown) {
      this.#fail(back.reply, Fault.from(thrown));
      return;
    }
    if (head.probe === true) this.#probed(head, message.reply);
    else if (head.inline !== undefined) this.#accept(head, body, message.reply, back.reply, head.inline.runtime, false);
    else {
      const kept = body;
      this.#ports.registry.version(head.account, head.function, head.version).then(
        (version) => {
          if (version === undefined)
            this.#refuse(head, back.reply, new Fault("FunctionNotFound", `version ${head.version} of ${head.function} is gone`));
          else this.#accept(head, kept, message.reply, back.reply, version.runtime, version.network);
        },
        (thrown: unknown) => this.#refuse(head, back.reply, Fault.from(thrown)),
      );
    }
  }

  /** A 503 or a refusal of something we sent. */
  cameBack(message: Message): void {
    const back = parseBackSubject(message.subject);
    const call = back && this.#sent.get(back.number);
    if (back === undefined || call?.sent === undefined || call.taken !== undefined || back.hop !== call.hop) return;
    if (message.status === 503) return this.#absent(call);
    const { refused, reason } = refusal.parse(decode(message.body));
    this.#ports.count(`refused.${refused}`);
    if (refused === "duplicate") return this.#takenBy(call, call.sent.host, this.#ports.hosts.epochOf(call.sent.host) ?? "");
    this.#refusedBy(call, call.sent.host, call.sent.head);
    call.reason = `host ${call.sent.host}: ${reason}`;
    this.#again(call);
  }

  taken(numbers: readonly number[], host: string, epoch: string): void {
    for (const number of numbers) {
      const call = this.#sent.get(number);
      if (call !== undefined) this.#takenBy(call, host, epoch);
    }
    this.drawSoon();
  }

  done(numbers: readonly number[]): void {
    for (const number of numbers) {
      const call = this.#sent.get(number);
      if (call !== undefined) this.#forget(call);
    }
    this.drawSoon();
  }

  #takenBy(call: KeptCall, host: string, epoch: string): void {
    this.#ports.fleet.settled(call.number);
    call.taken = { host, epoch };
    this.#remember(takenKey(call.head));
    this.#release(call);
  }

  #remember(id: string): void {
    this.#taken.add(id);
    if (this.#taken.size <= LIMITS.seenCalls.value) return;
    for (const oldest of this.#taken) {
      this.#taken.delete(oldest);
      return;
    }
  }

  longCalls(host: string, started: readonly { readonly call: string; readonly reply: string }[], ended: readonly string[]): void {
    let known = this.#long.get(host);
    if (known === undefined) this.#long.set(host, (known = new Map()));
    for (const { call, reply } of started) known.set(call, reply);
    for (const call of ended) known.delete(call);
  }

  hostLost(host: Member): void {
    for (const call of [...this.#sent.values()]) {
      if (call.taken === undefined) {
        if (call.sent?.host === host.id) {
          call.reason = `host ${host.id} was lost`;
          this.#again(call);
        }
      } else if (call.taken.host === host.id && call.taken.epoch === host.epoch) {
        // Its owner speaks for it; if that is gone too, we do.
        if (!this.#hasOwner(call)) this.#fail(call.reply, new Fault("InstanceLost", `host ${host.id} died while the call ran`));
        this.#forget(call);
      }
    }
    for (const reply of this.#long.get(host.id)?.values() ?? [])
      this.#fail(reply, new Fault("InstanceLost", `host ${host.id} died while the call ran`));
    this.#long.delete(host.id);
  }

  /** Takes a waiting call out; its caller hears that it was cancelled. */
  cancel(id: string): boolean {
    for (const room of this.#rooms.values()) {
      const [call] = room.remove((candidate) => candidate.head.call === id);
      if (call === undefined) continue;
      this.#leave(call);
      this.#refuse(call.head, call.reply, new Fault("Cancelled", "an operator cancelled the call"));
      this.#release(call);
      return true;
    }
    return false;
  }

  /** Ends what has waited too long; to be called a few times a second. */
  sweep(): void {
    const now = this.#ports.clock.now();
    const isWell = this.#isWell();
    for (const [key, room] of this.#rooms) {
      for (const call of room.remove((candidate) => candidate.waitUntil <= now)) {
        this.#leave(call);
        this.#ports.count("expired");
        this.#refuse(
          call.head,
          call.reply,
          new Fault("Throttled", `no place became free in time: ${call.reason}`, { retryAfterMs: 1_000 }),
        );
        this.#release(call);
      }
      if (room.size === 0) this.#rooms.delete(key);
    }
    for (const call of this.#sent.values()) {
      if (call.taken !== undefined) {
        if (now > call.waitUntil + call.head.timeoutMs + LIMITS.boot.value + LIMITS.load.value) this.#forget(call);
      } else if (now > call.waitUntil + 2 * LIMITS.clockGap.value) {
        this.#ports.count("unplaced");
        // Its owner has answered by now, if there is one.
        if (!this.#hasOwner(call)) this.#fail(call.reply, new Fault("Throttled", "no host took the call in time", { retryAfterMs: 1_000 }));
        this.#forget(call);
      } else if (isWell && !call.isDoubtful && call.sent !== undefined && call.sent.absentSince === undefined && now > call.sent.probeAt) {
        this.#ports.count("probed");
        call.sent.probeAt = now + PROBE_MS;
        call.hop++;
        const probe = joinHead({ ...call.sent.head, probe: true }, NOTHING);
        this.#ports.bus.send(call.sent.subject, probe, SUBJECT.back(this.#ports.node, call.number, call.hop, call.reply));
      }
    }
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

  /** Into its room: at the end, or as the next of its source. */
  #enter(call: KeptCall, isNext: boolean): WaitingRoom<KeptCall> {
    let room = this.#rooms.get(call.roomKey);
    if (room === undefined) this.#rooms.set(call.roomKey, (room = new WaitingRoom()));
    if (isNext) room.putBack(sourceOf(call.head), call);
    else room.add(sourceOf(call.head), call);
    this.#waiting.set(call.functionKey, (this.#waiting.get(call.functionKey) ?? 0) + 1);
    return room;
  }

  /** It has been taken out of its room. */
  #leave(call: KeptCall): void {
    const left = (this.#waiting.get(call.functionKey) ?? 0) - 1;
    if (left > 0) this.#waiting.set(call.functionKey, left);
    else this.#waiting.delete(call.functionKey);
  }

  /** False while nothing may be placed: it is not connected, or has just come back after so long that it gave back what it held. */
  #isWell(): boolean {
    if (!this.#absence.isConnected) return false;
    const now = this.#ports.clock.now();
    if (this.#absence.hasEnded()) {
      this.#pilingUntil = now + LIMITS.pileUp.value;
      this.#giveAllBack();
    }
    return now >= this.#pilingUntil;
  }

  #probed(head: CallHead, back: string): void {
    if (this.#held.has(head.call)) return;
    if (this.#taken.has(takenKey(head))) this.#knowsTaken(back);
    else this.#giveBack(back);
  }

  #knowsTaken(back: string): void {
    this.#ports.bus.send(back, encode({ refused: "duplicate", reason: "a host has taken the call" } satisfies Refusal));
  }

  #giveAllBack(): void {
    for (const [key, room] of this.#rooms) {
      for (const call of room.remove(() => true)) {
        this.#leave(call);
        this.#release(call);
        this.#giveBack(call.back);
      }
      this.#rooms.delete(key);
    }
    for (const call of this.#sent.values()) if (call.taken === undefined) call.isDoubtful = true;
  }

  /** The owner tries again, unless it has done so already. */
  #giveBack(back: string): void {
    this.#ports.count("givenBack");
    this.#ports.bus.send(
      back,
      encode({ refused: "draining", reason: "the keeper was away, and another may hold the call" } satisfies Refusal),
    );
  }

  #accept(head: CallHead, body: Uint8Array, back: string, reply: string, runtime: RuntimeName, network: boolean): void {
    if (this.#held.has(head.call)) return this.#ports.count("duplicate");
    if (this.#taken.has(takenKey(head))) {
      this.#ports.count("duplicate");
      return this.#knowsTaken(back);
    }
    const functionKey = `${head.account}.${head.function}`;
    if ((this.#waiting.get(functionKey) ?? 0) >= LIMITS.waitingCalls.value || this.#bytes + body.length > LIMITS.waitingBytes.value) {
      this.#ports.count("roomFull");
      this.#refuse(head, reply, new Fault("Throttled", "the waiting room is full", { retryAfterMs: 1_000 }));
      return;
    }
    const call: KeptCall = {
      number: this.#next++,
      head,
      body: body.length < COPY_BELOW ? body.slice() : body,
      reply,
      back,
      functionKey,
      roomKey: roomKeyOf(head),
      runtime,
      network,
      arrivedAt: this.#ports.clock.now(),
      waitUntil: this.#ports.clock.now() + head.waitMs,
      attempt: head.attempt,
      hop: 0,
      refusedBy: new Map(),
      reason: "it has just arrived",
      sent: undefined,
      isDoubtful: false,
      taken: undefined,
    };
    this.#held.add(head.call);
    this.#bytes += body.length;
    const room = this.#enter(call, false);
    this.#draw(room);
    if (room.size === 0) this.#rooms.delete(call.roomKey);
  }

  #draw(room: WaitingRoom<KeptCall>): void {
    if (!this.#isWell()) return;
    for (let drawn = room.draw(); drawn !== undefined; drawn = room.draw()) {
      const { item: call } = drawn;
      this.#leave(call);
      const verdict = place(this.#request(call), this.#ports.fleet);
      if (verdict.kind === "place") this.#send(call, verdict);
      else if (verdict.kind === "refuse") {
        this.#release(call);
        this.#refuse(call.head, call.reply, new Fault(verdict.error, verdict.reason));
      } else {
        if (!call.reason.startsWith("host ")) call.reason = verdict.reason;
        this.#enter(call, true);
        return;
      }
    }
  }

  #request(call: KeptCall): PlacementRequest {
    const { head } = call;
    const code = head.inline?.digest ?? head.version;
    return {
      account: head.account,
      functionKey: call.functionKey,
      codeKey: `${call.functionKey}.${code}`,
      key: slotKey(head.account, head.function, code, head.memoryMb),
      runtime: call.runtime,
      network: call.network,
      memoryMb: head.memoryMb,
      runtimeWanted: head.runtimeWanted,
      functionCap: head.containers,
      accountCap: this.#ports.registry.account(head.account)?.containers ?? LIMITS.containersPerAccount.value,
      ahead: 0,
      waitedMs: this.#ports.clock.now() - call.arrivedAt,
      mayQueue: this.#ports.granted(call.functionKey),
      refusedBy: this.#stillRefusing(call),
      evicts: false,
      instanceMb: this.#ports.instanceMb,
    };
  }

  #send(call: KeptCall, verdict: Extract<Verdict, { kind: "place" }>): void {
    if (call.body === undefined) return;
    const { head } = call;
    const request = this.#request(call);
    const sent: CallHead = {
      ...head,
      attempt: call.attempt,
      class: this.#ports.classOf(head.account, head.function),
      waitMs: Math.max(0, call.waitUntil - this.#ports.clock.now()),
      place: {
        rung: verdict.rung,
        by: "keeper",
        reason: verdict.reason,
        ...(verdict.queue && { queue: true }),
        ...(verdict.instance !== undefined && { instance: verdict.instance }),
        ...(verdict.instanceMb !== undefined && { instanceMb: verdict.instanceMb }),
        ...(verdict.rung !== "hot" && { coldCause: this.#coldCause(call, request.key) }),
      },
    };
    call.hop++;
    call.sent = {
      host: verdict.host,
      subject: SUBJECT.host(verdict.host),
      head: sent,
      absentSince: undefined,
      probeAt: this.#ports.clock.now() + PROBE_MS,
    };
    this.#sent.set(call.number, call);
    this.#ports.fleet.ordered(call.number, {
      host: verdict.host,
      rung: verdict.rung,
      instance: verdict.instance,
      key: request.key,
      functionKey: call.functionKey,
      account: head.account,
      runtime: call.runtime,
      memoryMb: head.memoryMb,
    });
    this.#transmit(call);
  }

  #transmit(call: KeptCall): void {
    if (call.sent === undefined || call.body === undefined) return;
    this.#ports.bus.send(
      call.sent.subject,
      joinHead(call.sent.head, call.body),
      SUBJECT.back(this.#ports.node, call.number, call.hop, call.reply),
    );
  }

  #coldCause(call: KeptCall, key: string): ColdCause {
    const before = this.#seen.get(call.functionKey);
    const others = this.#ports.fleet.containers({ functionKey: call.functionKey });
    this.#seen.delete(call.functionKey);
    this.#seen.set(call.functionKey, key);
    if (this.#seen.size > LIMITS.absentNames.value) this.#seen.delete(this.#seen.keys().next().value as string);
    if (call.reason.endsWith("was lost")) return "host-lost";
    if (before === undefined) return "first";
    if (before !== key)
      return before.slice(0, before.lastIndexOf("@")) === key.slice(0, key.lastIndexOf("@")) ? "amount-changed" : "code-changed";
    return others > 0 ? "scale-out" : "evicted";
  }

  /** The host looks absent: after a broker's death live hosts do for a while, so it is tried again until it is declared lost. */
  #absent(call: KeptCall): void {
    const { clock, hosts, fleet } = this.#ports;
    const sent = call.sent;
    if (sent === undefined) return;
    sent.absentSince ??= clock.now();
    this.#ports.count("absent");
    if (!hosts.has(sent.host) || fleet.host(sent.host) === undefined || clock.now() - sent.absentSince > LIMITS.absentHost.value) {
      call.reason = `host ${sent.host} was lost`;
      this.#refusedBy(call, sent.host, sent.head);
      this.#again(call);
      return;
    }
    call.hop++;
    clock.after(RETRY_MS, () => {
      if (this.#sent.get(call.number) === call && call.taken === undefined) this.#transmit(call);
    });
  }

  #refusedBy(call: KeptCall, host: string, head: CallHead): void {
    call.refusedBy.set(`${host}:${head.place?.rung ?? "hot"}`, this.#ports.fleet.host(host)?.announcement.seq ?? -1);
  }

  #stillRefusing(call: KeptCall): ReadonlySet<string> {
    const refusing = new Set<string>();
    for (const [at, seq] of call.refusedBy) {
      const host = this.#ports.fleet.host(at.slice(0, at.lastIndexOf(":")));
      if (host !== undefined && host.announcement.seq === seq) refusing.add(at);
    }
    return refusing;
  }

  /** Back into the room, at the front of its source, for another placement. */
  #again(call: KeptCall): void {
    this.#ports.fleet.settled(call.number);
    this.#sent.delete(call.number);
    call.sent = undefined;
    if (call.isDoubtful || !this.#isWell()) {
      this.#release(call);
      this.#giveBack(call.back);
      return;
    }
    call.attempt++;
    if (this.#ports.clock.now() > call.waitUntil + LIMITS.clockGap.value / 2 && this.#hasOwner(call)) {
      // Its owner has answered by now, or is about to.
      this.#ports.count("late");
      this.#release(call);
      return;
    }
    if (call.attempt > LIMITS.attempts.value || this.#ports.clock.now() > call.waitUntil) {
      this.#release(call);
      this.#refuse(call.head, call.reply, new Fault("Throttled", `no host took the call: ${call.reason}`, { retryAfterMs: 1_000 }));
      return;
    }
    this.#enter(call, true);
    this.drawSoon([call.roomKey]);
  }

  /** True while the process that sent us the call lives, and so speaks for it. */
  #hasOwner(call: KeptCall): boolean {
    const now = this.#ports.ownerEpoch(call.head.owner);
    return now !== undefined && (call.head.ownerEpoch === undefined || now === call.head.ownerEpoch);
  }

  #release(call: KeptCall): void {
    if (call.body === undefined) return;
    this.#held.delete(call.head.call);
    this.#bytes -= call.body.length;
    call.body = undefined;
  }

  #forget(call: KeptCall): void {
    this.#ports.fleet.settled(call.number);
    this.#release(call);
    this.#sent.delete(call.number);
  }

  /** Answers the caller in the place of a host, and tells the owner that the call is over. */
  #refuse(head: CallHead, reply: string, fault: Fault): void {
    this.#fail(reply, fault);
    const { control, node, epoch } = this.#ports;
    control.tell(callReport, [head.owner], { from: node, epoch, taken: [], done: [head.number], placedTaken: [], placedDone: [] });
  }

  #fail(reply: string, fault: Fault): void {
    const name: ErrorName = fault.name;
    this.#ports.count(`failed.${name}`);
    if (name === "Internal") this.#ports.log.error("a call failed inside", { error: fault.stack, cause: String(fault.cause ?? "") });
    this.#ports.bus.send(reply, failureBody(fault), undefined, failureHeaders(fault));
  }
}

/** Direct callers are one source each by how they came; triggers and queues will be others. */
function sourceOf(head: CallHead): string {
  return head.chain === undefined ? "callers" : "functions";
}

/** A call that may run again is another one at each attempt of its owner. */
function takenKey(head: CallHead): string {
  return head.idempotent ? `${head.call}.${head.attempt}` : head.call;
}

function roomKeyOf({ account, function: name, version, inline, memoryMb, runtimeWanted }: CallHead): string {
  const key = slotKey(account, name, inline?.digest ?? version, memoryMb);
  return runtimeWanted === undefined ? key : `${key} ${runtimeWanted}`;
}
