/**
 * Places single calls by hand, past all policy: at one host, one frontend or one keeper that is named. For operators, who hold
 * all rights, and who want to know of each node whether it works. Nothing of it is on the path of other calls.
 *
 * P1  A refusal and "no responders" come back as such: they are what is asked for.
 * P2  `close` leaves no subscription.
 */
import type { Message } from "../../actors/kit/bus.ts";
import { callIds } from "../../protocol/call-id.ts";
import { decode, joinHead } from "../../protocol/codec.ts";
import { Fault, isErrorName } from "../../protocol/errors.ts";
import { type CallHead, type HandedCall, refusal } from "../../protocol/messages/call.ts";
import { inboxOf, parseBackSubject, SUBJECT } from "../../protocol/subjects.ts";
import { systemClock, systemRandom } from "./clock.ts";
import type { Connected } from "./nats.ts";

export interface PlacedReply {
  readonly body: Uint8Array;
  /** A header of the reply, such as Pilot-Rung. */
  header(name: string): string | undefined;
}

/** What a call needs beside what the placer says itself. */
export type PlacedCall = Pick<CallHead, "account" | "function" | "version" | "memoryMb" | "timeoutMs" | "keepAliveMs">;

export interface Placer {
  /** Runs a call on that host. Rejects with the call's Fault, or with Unavailable whose details say `refused` when the host does not take it. */
  onHost(host: string, call: PlacedCall, place: NonNullable<CallHead["place"]>, body: Uint8Array, limitMs: number): Promise<PlacedReply>;
  /** Hands a call to that frontend, as a host would that cannot run it itself. */
  viaFrontend(frontend: string, call: HandedCall, body: Uint8Array, limitMs: number): Promise<PlacedReply>;
  /** Asks that keeper for a call that nobody made; resolves when it says so. */
  askKeeper(scheduler: string, limitMs: number): Promise<void>;
  close(): Promise<void>;
}

interface Waiting {
  resolve(reply: PlacedReply): void;
  reject(fault: Fault): void;
  /** The node that was asked. */
  readonly node: string;
}

const NOTHING = new Uint8Array(0);

export function openPlacer({ bus }: Pick<Connected, "bus">): Placer {
  const node = `placer-${systemRandom.id(10)}`;
  const newCallId = callIds(systemRandom.id(8));
  const inbox = `${inboxOf("operator", node)}.`;
  const waiting = new Map<number, Waiting>();
  let count = 0;

  const settle = (number: number): Waiting | undefined => {
    const one = waiting.get(number);
    waiting.delete(number);
    return one;
  };
  const replied = (message: Message): void => {
    const one = settle(Number(message.subject.slice(inbox.length)));
    if (one === undefined) return;
    const fault = faultOf(message);
    if (fault !== undefined) one.reject(fault);
    else one.resolve({ body: message.body.slice(), header: (name) => message.header(name) });
  };
  const cameBack = (message: Message): void => {
    const one = settle(parseBackSubject(message.subject)?.number ?? -1);
    if (one === undefined) return;
    if (message.status === 503) return one.reject(new Fault("Unavailable", `${one.node} is not there: nobody listens for its calls`));
    try {
      const said = refusal.parse(decode(message.body));
      one.reject(new Fault("Unavailable", said.reason, { refused: said.refused }));
    } catch (thrown) {
      one.reject(Fault.from(thrown));
    }
  };
  const subscriptions = [
    bus.listen(`${inbox}*`, {}, replied),
    bus.listen(SUBJECT.backAll(node), {}, cameBack),
    // Hosts report to whoever placed a call; without a listener that would be noise.
    bus.listen(SUBJECT.report(node), {}, () => undefined),
  ];

  const send = (to: string, subject: string, head: unknown, number: number, body: Uint8Array, limitMs: number): Promise<PlacedReply> =>
    new Promise((resolve, reject) => {
      const timer = systemClock.after(limitMs, () =>
        settle(number)?.reject(new Fault("Unavailable", `${to} gave no answer within ${limitMs / 1_000} s`)),
      );
      waiting.set(number, {
        node: to,
        resolve(reply) {
          timer.cancel();
          resolve(reply);
        },
        reject(fault) {
          timer.cancel();
          reject(fault);
        },
      });
      bus.send(subject, joinHead(head, body), SUBJECT.back(node, number, 0, inbox + number));
    });

  const headOf = (call: PlacedCall, number: number, limitMs: number): CallHead => {
    const receivedAt = systemClock.epoch();
    return {
      ...call,
      call: newCallId(receivedAt),
      receivedAt,
      containers: 1,
      waitMs: limitMs,
      trace: true,
      class: "rare",
      owner: node,
      number,
      attempt: 1,
      idempotent: false,
    };
  };

  return {
    onHost(host, call, place, body, limitMs) {
      const number = count++;
      return send(host, SUBJECT.host(host), { ...headOf(call, number, limitMs), place }, number, body, limitMs);
    },
    viaFrontend(frontend, call, body, limitMs) {
      return send(frontend, SUBJECT.ownDesk(frontend), call, count++, body, limitMs);
    },
    async askKeeper(scheduler, limitMs) {
      const number = count++;
      const nobodys = { account: "main", function: "nobodys", version: 1, memoryMb: 128, timeoutMs: 1_000, keepAliveMs: 0 };
      const head: CallHead = { ...headOf(nobodys, number, limitMs), probe: true };
      await send(scheduler, SUBJECT.keeper(scheduler), head, number, NOTHING, limitMs).catch((thrown: unknown) => {
        if (Fault.from(thrown).details?.["refused"] === undefined) throw thrown;
      });
    },
    async close() {
      await Promise.all(subscriptions.map((subscription) => subscription.stop()));
    },
  };
}

function faultOf(message: Message): Fault | undefined {
  if (!message.hasHeaders || message.header("Nats-Service-Error-Code") === undefined) return undefined;
  const name = message.header("Pilot-Error") ?? "";
  return new Fault(isErrorName(name) ? name : "Internal", message.header("Nats-Service-Error") ?? "the call failed");
}
