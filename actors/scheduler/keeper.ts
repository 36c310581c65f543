/**
 * The keeper: holds the waiting rooms of the functions that hash to this scheduler and places their calls. It joins
 * what keeper/ has one file each for:
 *
 * K1  A call is sent only against room that hosts have shown (placing.ts).
 * K2  Its body is kept until a host has taken it; silence never causes a second placement (sent.ts).
 * K3  What cannot be placed waits (rooms.ts), bounded in number, bytes and time; its caller hears why (answers.ts).
 * K4  A call is held once, however often its owner sends it; what was taken is remembered for a while (held.ts).
 * K5  A keeper that was away for so long that it may have been declared lost gives its calls back (presence.ts).
 * K6  It holds no call of a function that is another's by now (tenure.ts).
 * K7  A new keeper makes containers near a cap only once it knows what was ordered before it (tenure.ts).
 */
import { splitHead } from "../../protocol/codec.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { type CallHead, callHead } from "../../protocol/messages/call.ts";
import { parseBackSubject } from "../../protocol/subjects.ts";
import type { FunctionClass } from "../../protocol/vocabulary.ts";
import { aboutCall } from "../kit/about-call.ts";
import type { Message } from "../kit/bus.ts";
import { firstNumber } from "../kit/first-number.ts";
import type { Member, Members } from "../kit/members.ts";
import type { Clock, Random } from "../kit/ports.ts";
import type { Registry } from "../kit/registry.ts";
import type { Fleet } from "./fleet.ts";
import { Answers, type AnswersPorts, throttled } from "./keeper/answers.ts";
import { ColdCauses } from "./keeper/cold-causes.ts";
import { Held } from "./keeper/held.ts";
import { type KeptCall, keptCall } from "./keeper/kept-call.ts";
import { type LongCall, LongCalls } from "./keeper/long.ts";
import type { Needs } from "./keeper/needs.ts";
import { type Place, placedHead, requestFor } from "./keeper/placing.ts";
import { Presence } from "./keeper/presence.ts";
import { Rooms } from "./keeper/rooms.ts";
import { Sent } from "./keeper/sent.ts";
import type { Tenure } from "./keeper/tenure.ts";
import { place } from "./placement/index.ts";

export interface KeeperPorts extends AnswersPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly registry: Registry;
  readonly fleet: Fleet;
  readonly hosts: Members;
  readonly tenure: Tenure;
  readonly instanceMb: number;
  classOf(account: string, name: string): FunctionClass;
  /** True while some host may answer the function (account.function) directly. */
  granted(functionKey: string): boolean;
}

const AWAY = "the keeper was away, and another may hold the call";
const NOT_OURS = "the function is another keeper's";

export class Keeper {
  readonly #ports: KeeperPorts;
  readonly #answers: Answers;
  readonly #presence: Presence;
  readonly #held = new Held();
  readonly #rooms: Rooms;
  readonly #sent: Sent;
  readonly #long = new LongCalls();
  readonly #coldCauses = new ColdCauses();
  #next: number;

  constructor(ports: KeeperPorts) {
    const { bus, control, clock, fleet, hosts, node, tenure } = ports;
    this.#ports = ports;
    this.#next = firstNumber(ports.random);
    this.#answers = new Answers(ports);
    this.#presence = new Presence(clock, [bus, control], () => {
      tenure.returned();
      this.#long.returned(clock.now());
      this.#giveAllBack();
    });
    this.#rooms = new Rooms({ clock, mayDraw: () => this.#presence.isWell(), place: (call) => this.#place(call) });
    const count = (counter: string) => ports.count(counter);
    const again = (call: KeptCall) => this.#again(call);
    const mayPlace = () => this.#presence.isWell();
    this.#sent = new Sent({ bus, clock, fleet, hosts, node, held: this.#held, answers: this.#answers, mayPlace, again, count });
  }

  /** Calls waiting now, by account.function. */
  waiting(): Record<string, number> {
    return Object.fromEntries(this.#rooms.waiting);
  }

  /** What it holds now; at rest all are 0. */
  held(): { waiting: number; sent: number; bytes: number; untaken: number; long: number } {
    const { size: untaken, bytes } = this.#held;
    return { waiting: this.#rooms.size, sent: this.#sent.size, bytes, untaken, long: this.#long.size };
  }

  /** The first waiting call of each room: its slot key, for how long it has waited, and why. */
  waits(): { key: string; account: string; memoryMb: number; waitedMs: number; reason: string }[] {
    const now = this.#ports.clock.now();
    return [...this.#rooms.firsts()].map(({ key, head, arrivedAt, reason }) => {
      const { account, memoryMb } = head;
      return { key, account, memoryMb, waitedMs: now - arrivedAt, reason };
    });
  }

  /** A call that a frontend or host asks us to place. */
  arrived(message: Message): void {
    const back = parseBackSubject(message.reply);
    if (back === undefined) return this.#ports.count("dropped.badReply");
    if (!this.#presence.isWell()) return this.#answers.giveBack(message.reply, AWAY);
    let head: CallHead;
    let body: Uint8Array;
    try {
      const whole = splitHead(message.body);
      head = callHead.parse(whole.head);
      body = whole.body;
    } catch (thrown) {
      return this.#answers.malformed(back.reply, thrown);
    }
    if (head.probe === true) return this.#probed(head, message.reply);
    const accept = (needs: Needs) => this.#accept(head, body, message.reply, back.reply, needs);
    if (head.code !== undefined)
      return this.#answers.refuse(head, back.reply, new Fault("BadRequest", "what a version loads is the keeper's to say"));
    if (head.inline !== undefined) return accept({ runtime: head.inline.runtime, network: false, version: undefined });
    this.#ports.registry.version(head.account, head.function, head.version).then(
      (version) => {
        if (version !== undefined) accept({ runtime: version.runtime, network: version.network, version });
        else this.#answers.refuse(head, back.reply, new Fault("FunctionNotFound", `version ${head.version} of ${head.function} is gone`));
      },
      (thrown: unknown) => this.#answers.refuse(head, back.reply, Fault.from(thrown)),
    );
  }

  /** A 503 or a refusal of something we sent. */
  cameBack(message: Message): void {
    this.#sent.cameBack(message);
  }

  taken(numbers: readonly number[], host: string, epoch: string): void {
    this.#sent.taken(numbers, host, epoch);
    this.drawSoon();
  }

  done(numbers: readonly number[]): void {
    this.#sent.done(numbers);
    this.drawSoon();
  }

  longCalls(host: string, started: readonly LongCall[], ended: readonly string[]): void {
    this.#long.reported(host, started, ended, this.#ports.clock.now());
  }

  hostLost(host: Member): void {
    this.#sent.hostLost(host);
    for (const long of this.#long.take(host.id)) this.#answers.hostLost(long, host.id);
  }

  /** Other functions are this keeper's now: calls of those that are not go back to their owners, who know whose they are. */
  handOver(): void {
    for (const call of this.#rooms.remove(({ functionKey }) => !this.#ports.tenure.keeps(functionKey))) this.#giveBack(call, NOT_OURS);
  }

  /** Takes a waiting call out, named by its id or by its reply subject; its caller hears that it was cancelled. */
  cancel({ id, reply }: { readonly id?: string; readonly reply?: string }): boolean {
    const calls = this.#rooms.remove((candidate) => (id === undefined ? candidate.reply === reply : candidate.head.call === id));
    for (const call of calls) this.#refuse(call, new Fault("Cancelled", "the call was cancelled"));
    return calls.length > 0;
  }

  /** Ends what has waited too long; to be called a few times a second. */
  sweep(): void {
    const now = this.#ports.clock.now();
    const isWell = this.#presence.isWell();
    for (const call of this.#rooms.remove((candidate) => candidate.waitUntil <= now)) {
      this.#ports.count("expired");
      this.#refuse(call, throttled(`no place became free in time: ${call.reason}`));
    }
    this.#sent.sweep(isWell);
    if (isWell) this.#long.sweep(now);
  }

  /** Draws after the current burst of messages: from the rooms of the slot keys, and from others as far as there is time. */
  drawSoon(idle?: Iterable<string>): void {
    this.#rooms.drawSoon(idle);
  }

  #accept(head: CallHead, body: Uint8Array, back: string, reply: string, needs: Needs): void {
    const before = this.#held.find(head);
    if (before !== undefined) {
      this.#ports.count("duplicate");
      if (before !== "untaken") this.#answers.isOver(back, before);
      return;
    }
    if (!this.#ports.tenure.keeps(`${head.account}.${head.function}`)) return this.#answers.giveBack(back, NOT_OURS);
    const waiting = this.#rooms.waiting.get(`${head.account}.${head.function}`) ?? 0;
    const isCrowded = waiting >= LIMITS.waitingCalls.value;
    if (isCrowded || this.#held.bytes + body.length > LIMITS.waitingBytes.value) {
      this.#ports.count(isCrowded ? "roomFull" : "limit.waitingBytes");
      return this.#answers.refuse(head, reply, throttled("the waiting room is full"));
    }
    const call = keptCall(head, body, { number: this.#next++, back, reply, needs, now: this.#ports.clock.now() });
    this.#held.hold(call);
    this.#rooms.add(call);
  }

  /** The owner of a call asks whether it is here. */
  #probed(head: CallHead, back: string): void {
    const known = this.#held.find(head);
    if (known === undefined) this.#answers.giveBack(back, AWAY);
    else if (known !== "untaken") this.#answers.isOver(back, known);
  }

  /** Sends the call to a place or refuses it; false: there is neither now, and it waits on. */
  #place(call: KeptCall): boolean {
    const { clock, fleet, registry, instanceMb, tenure } = this.#ports;
    const accountCap = registry.account(call.head.account)?.containers;
    const isGranted = this.#ports.granted(call.functionKey);
    const circumstances = { fleet, tenure, now: clock.now(), accountCap, isGranted, instanceMb };
    const verdict = place(requestFor(call, circumstances), fleet);
    if (verdict.kind === "place") this.#send(call, verdict);
    else if (verdict.kind === "refuse") this.#refuse(call, new Fault(verdict.error, verdict.reason));
    else if (!call.reason.startsWith("host ")) call.reason = verdict.reason;
    return verdict.kind !== "wait";
  }

  #send(call: KeptCall, to: Place): void {
    const { clock, fleet } = this.#ports;
    const coldCause = to.rung === "hot" ? undefined : this.#coldCauses.of(call, fleet);
    const functionClass = this.#ports.classOf(call.head.account, call.head.function);
    this.#sent.send(call, to, placedHead(call, to, clock.now(), functionClass, coldCause));
  }

  /** A host did not take it: back into its room, unless its time is over or it is not ours any more. */
  #again(call: KeptCall): void {
    if (call.isDoubtful || !this.#presence.isWell()) return this.#giveBack(call, AWAY);
    if (!this.#ports.tenure.keeps(call.functionKey)) return this.#giveBack(call, NOT_OURS);
    const late = this.#ports.clock.now() - call.waitUntil;
    call.attempt++;
    this.#ports.log.debug("a call is placed again", { ...aboutCall(call.head), attempt: call.attempt, reason: call.reason });
    if (late > LIMITS.clockGap.value / 2 && this.#answers.hasOwner(call.head)) {
      // Its owner has answered by now, or is about to.
      this.#ports.count("late");
      this.#held.release(call);
    } else if (late > 0 || call.attempt > LIMITS.attempts.value) {
      if (late <= 0) this.#ports.count("limit.attempts");
      this.#refuse(call, throttled(`no host took the call: ${call.reason}`));
    } else this.#rooms.putBack(call);
  }

  #giveAllBack(): void {
    for (const call of this.#rooms.remove(() => true)) this.#giveBack(call, AWAY);
    this.#sent.doubt();
  }

  #giveBack(call: KeptCall, why: string): void {
    this.#held.release(call);
    this.#answers.giveBack(call.back, why);
    // Nobody else can have it where it was given away in time.
    if (why === NOT_OURS) this.#answers.speakFor(call.head, call.reply, throttled("the call lost its frontend and its keeper"));
  }

  #refuse(call: KeptCall, fault: Fault): void {
    this.#held.over(call);
    this.#answers.refuse(call.head, call.reply, fault);
  }
}
