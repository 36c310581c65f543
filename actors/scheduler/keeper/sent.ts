/**
 * The calls that a keeper has sent to hosts, until they are done.
 *
 * K2  A body is kept until a host has taken the call. Silence never causes a second placement: only a 503, a refusal,
 *     or the death of the host before it took the call. A silent host is asked.
 */
import { decode, joinHead } from "../../../protocol/codec.ts";
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { type CallHead, refusal } from "../../../protocol/messages/call.ts";
import { parseBackSubject, SUBJECT } from "../../../protocol/subjects.ts";
import type { Bus, Message } from "../../kit/bus.ts";
import type { Member, Members } from "../../kit/members.ts";
import type { Clock } from "../../kit/ports.ts";
import type { Fleet } from "../fleet.ts";
import { type Answers, throttled } from "./answers.ts";
import type { Held } from "./held.ts";
import type { KeptCall, Order } from "./kept-call.ts";
import type { Place } from "./placing.ts";

export interface SentPorts {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly fleet: Fleet;
  readonly hosts: Members;
  readonly node: string;
  readonly held: Held;
  readonly answers: Answers;
  /** False while nothing may be placed. */
  mayPlace(): boolean;
  /** Its host did not take it: it is placed again, or given up. It is not among the sent ones any more. */
  again(call: KeptCall): void;
  count(counter: string): void;
}

const RETRY_MS = 100;
/** An order of which nothing was heard for this long may have been lost on the way, or the report was: its host is asked. */
const PROBE_MS = 500;
const NOTHING = new Uint8Array(0);

export class Sent {
  readonly #ports: SentPorts;
  readonly #calls = new Map<number, KeptCall>();

  constructor(ports: SentPorts) {
    this.#ports = ports;
  }

  get size(): number {
    return this.#calls.size;
  }

  /** To the place that was found, with the head that says so. */
  send(call: KeptCall, { host, rung, instance }: Place, head: CallHead): void {
    const { clock, fleet } = this.#ports;
    const { number, key, functionKey, needs } = call;
    call.hop++;
    call.order = { host, subject: SUBJECT.host(host), head, absentSince: undefined, probeAt: clock.now() + PROBE_MS };
    this.#calls.set(number, call);
    fleet.order(number, {
      host,
      rung,
      instance,
      key,
      functionKey,
      account: head.account,
      runtime: needs.runtime,
      memoryMb: head.memoryMb,
    });
    this.#transmit(call, call.order);
  }

  /** A 503 or a refusal of something that was sent. */
  cameBack(message: Message): void {
    const back = parseBackSubject(message.subject);
    const call = back && this.#calls.get(back.number);
    const order = call?.order;
    if (call === undefined || order === undefined || call.taken !== undefined || back?.hop !== call.hop) return;
    if (message.status === 503) return this.#absent(call, order);
    const { refused, reason } = refusal.parse(decode(message.body));
    this.#ports.count(`refused.${refused}`);
    if (refused === "duplicate") return this.#takenBy(call, order.host, this.#ports.hosts.epochOf(order.host) ?? "");
    this.#refused(call, order, `host ${order.host}: ${reason}`);
  }

  taken(numbers: readonly number[], host: string, epoch: string): void {
    for (const number of numbers) {
      const call = this.#calls.get(number);
      if (call !== undefined) this.#takenBy(call, host, epoch);
    }
  }

  done(numbers: readonly number[]): void {
    for (const number of numbers) {
      const call = this.#calls.get(number);
      if (call !== undefined) this.#forget(call);
    }
  }

  hostLost(host: Member): void {
    for (const call of [...this.#calls.values()]) {
      if (call.taken === undefined) {
        if (call.order?.host === host.id) this.#again(call, `host ${host.id} was lost`);
      } else if (call.taken.host === host.id && call.taken.epoch === host.epoch) {
        // Its owner speaks for it; if that is gone too, we do.
        this.#ports.answers.speakFor(call.head, call.reply, new Fault("InstanceLost", `host ${host.id} died while the call ran`));
        this.#forget(call);
      }
    }
  }

  /** Another keeper may have what no host has taken: that is placed no more from here. */
  doubt(): void {
    for (const call of this.#calls.values()) if (call.taken === undefined) call.isDoubtful = true;
  }

  /** Ends what is overdue, and asks about what nothing was heard of; to be called a few times a second. */
  sweep(mayProbe: boolean): void {
    const now = this.#ports.clock.now();
    for (const call of this.#calls.values()) {
      const { order } = call;
      if (call.taken !== undefined) {
        if (now > call.waitUntil + call.head.timeoutMs + LIMITS.boot.value + LIMITS.load.value) this.#forget(call);
      } else if (now > call.waitUntil + 2 * LIMITS.clockGap.value) {
        this.#ports.count("unplaced");
        // Its owner has answered by now, if there is one.
        this.#ports.answers.speakFor(call.head, call.reply, throttled("no host took the call in time"));
        this.#forget(call);
      } else if (mayProbe && !call.isDoubtful && order !== undefined && now > order.probeAt) this.#probe(call, order);
    }
  }

  #probe(call: KeptCall, order: Order): void {
    this.#ports.count("probed");
    order.probeAt = this.#ports.clock.now() + PROBE_MS;
    // Nothing has come back since it was last sent: the host is not absent any more.
    order.absentSince = undefined;
    call.hop++;
    this.#put(call, order, joinHead({ ...order.head, probe: true }, NOTHING));
  }

  /** The host looks absent: after a broker's death live hosts do for a while, so it is tried again until it is declared lost. */
  #absent(call: KeptCall, order: Order): void {
    const { clock, hosts, fleet } = this.#ports;
    order.absentSince ??= clock.now();
    this.#ports.count("absent");
    const isAbsent = clock.now() - order.absentSince > LIMITS.absentHost.value;
    if (isAbsent) this.#ports.count("limit.absentHost");
    if (isAbsent || !hosts.has(order.host) || fleet.host(order.host) === undefined)
      return this.#refused(call, order, `host ${order.host} was lost`);
    const hop = ++call.hop;
    clock.after(RETRY_MS, () => {
      // Where it was asked about meanwhile, the answer decides: it must not be on its way again by then.
      if (this.#calls.get(call.number) !== call || call.taken !== undefined || call.order === undefined || call.hop !== hop) return;
      // Asked first, since it finds out whether this process was away meanwhile, and another has placed the call.
      if (this.#ports.mayPlace() && !call.isDoubtful) this.#transmit(call, call.order);
      else this.#again(call, `host ${call.order.host} was absent`);
    });
  }

  #refused(call: KeptCall, order: Order, reason: string): void {
    call.refusals.note(order.host, order.head.place?.rung ?? "hot", this.#ports.fleet);
    this.#again(call, reason);
  }

  #again(call: KeptCall, reason: string): void {
    call.reason = reason;
    this.#ports.fleet.settled(call.number);
    this.#calls.delete(call.number);
    call.order = undefined;
    this.#ports.again(call);
  }

  #takenBy(call: KeptCall, host: string, epoch: string): void {
    this.#ports.fleet.settled(call.number);
    call.taken = { host, epoch };
    this.#ports.held.over(call);
  }

  #forget(call: KeptCall): void {
    this.#ports.fleet.settled(call.number);
    this.#ports.held.release(call);
    this.#calls.delete(call.number);
  }

  #transmit(call: KeptCall, order: Order): void {
    order.probeAt = this.#ports.clock.now() + PROBE_MS;
    if (call.body !== undefined) this.#put(call, order, joinHead(order.head, call.body));
  }

  #put(call: KeptCall, order: Order, message: Uint8Array): void {
    this.#ports.bus.send(order.subject, message, SUBJECT.back(this.#ports.node, call.number, call.hop, call.reply));
  }
}
