/**
 * The Bus port over a MemoryBroker. Bodies of conversations pass the real codec and the contract's schemas,
 * so that what would not survive the wire does not survive here.
 */
import type { Bus, ListenOptions, Message, Subscription } from "../../actors/kit/bus.ts";
import { decode, encode } from "../../protocol/codec.ts";
import type { Event, Request } from "../../protocol/contract.ts";
import { Fault, type FaultData } from "../../protocol/errors.ts";
import type { Interest, MemoryBroker, Packet } from "./memory-broker.ts";

export class MemoryBus implements Bus {
  readonly name: string;
  readonly #broker: MemoryBroker;
  readonly #interests = new Set<Interest>();
  readonly #answers = new Map<string, (packet: Packet) => void>();
  readonly #inbox: string;
  #count = 0;
  #connected = true;
  /** Tests say for how long the broker owes an answer. */
  owedMs = 0;
  /** Messages that arrived while the process hung. */
  #piled: (() => void)[] | undefined;
  /** Counts connections: what was on the wire when one was cut is lost with it. */
  #line = 0;
  /** What listeners and handlers threw, and bodies that were not of their contract. */
  readonly caught: unknown[] = [];

  /** `name` is the connection's; two of one name are two connections all the same, but share 503s. */
  constructor(broker: MemoryBroker, name: string) {
    this.#broker = broker;
    this.name = name;
    this.#inbox = `_pilot.inbox.memory.${name}`;
    this.listen(`${this.#inbox}.*`, {}, (message) => {
      const answer = this.#answers.get(message.subject);
      if (answer) answer((message as PacketMessage).packet);
    });
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** Cuts the connection: subscriptions go from the server, what is on the wire is lost. */
  disconnect(): void {
    this.#connected = false;
    this.#line++;
    this.#piled &&= [];
    for (const interest of this.#interests) this.#broker.remove(interest);
  }

  /** Connects again, with the same subscriptions. */
  reconnect(): void {
    this.#connected = true;
    for (const interest of this.#interests) this.#broker.add(interest);
  }

  /** Stops reading as a stopped process does: the server goes on sending to it. */
  hang(): void {
    this.#piled ??= [];
  }

  /** Reads what piled up. */
  thaw(): void {
    const piled = this.#piled ?? [];
    this.#piled = undefined;
    for (const read of piled) this.#broker.later(read);
  }

  listen(subject: string, options: ListenOptions, listener: (message: Message) => void): Subscription {
    let listening = true;
    const interest: Interest = {
      subject,
      queue: options.queue,
      client: this.name,
      deliver: (packet) => {
        const line = this.#line;
        const read = (): void => {
          if (!listening || !this.#connected || line !== this.#line) return;
          try {
            listener(new PacketMessage(packet));
          } catch (thrown) {
            this.caught.push(thrown);
          }
        };
        if (this.#piled) this.#piled.push(read);
        else read();
      },
    };
    this.#interests.add(interest);
    if (this.#connected) this.#broker.add(interest);
    return {
      stop: () =>
        new Promise((resolve) => {
          this.#interests.delete(interest);
          this.#broker.later(() => {
            this.#broker.remove(interest);
            this.#broker.later(() => {
              listening = false;
              resolve();
            });
          });
        }),
    };
  }

  send(subject: string, body: Uint8Array, reply = "", headers?: Readonly<Record<string, string>>): void {
    if (!this.#connected) return;
    if (subject === "" || /[*>\s]|^\.|\.$|\.\./.test(subject)) {
      this.caught.push(new RangeError(`published on the subject "${subject}"`));
      return;
    }
    const packet: Packet = { from: this.name, subject, reply, body: body.slice(), headers, status: 0 };
    this.#broker.later(() => this.#broker.route(packet));
  }

  tell<P extends readonly string[], Q>(contract: Event<P, Q>, params: P, body: Q): void {
    this.send(contract.subject(...params), encode(body));
  }

  hear<P extends readonly string[], Q>(contract: Event<P, Q>, params: P, listener: (body: Q) => void): Subscription {
    return this.listen(contract.subject(...params), {}, (message) => listener(contract.body.parse(decode(message.body))));
  }

  serve<P extends readonly string[], Q, R>(
    contract: Request<P, Q, R>,
    params: P,
    handler: (body: Q) => Promise<R> | R,
    queue?: string,
  ): Subscription {
    const answer = async (body: Uint8Array): Promise<[Uint8Array, Record<string, string> | undefined]> => {
      try {
        return [encode(await handler(contract.request.parse(decode(body)))), undefined];
      } catch (thrown) {
        if (!(thrown instanceof Fault)) this.caught.push(thrown);
        const fault = Fault.from(thrown);
        return [encode(fault.toData()), { "Pilot-Error": fault.name }];
      }
    };
    return this.listen(contract.subject(...params), queue === undefined ? {} : { queue }, (message) => {
      void answer(message.body).then(([body, headers]) => {
        if (message.reply !== "") this.send(message.reply, body, "", headers);
      });
    });
  }

  ask<P extends readonly string[], Q, R>(contract: Request<P, Q, R>, params: P, body: Q, timeoutMs = contract.timeoutMs): Promise<R> {
    return new Promise((resolve, reject) => {
      const subject = contract.subject(...params);
      const reply = `${this.#inbox}.${this.#count++}`;
      const timer = this.#broker.clock.after(timeoutMs, () => {
        this.#answers.delete(reply);
        reject(new Fault("Unavailable", `no answer on ${subject} in ${timeoutMs} ms`));
      });
      this.#answers.set(reply, (packet) => {
        this.#answers.delete(reply);
        timer.cancel();
        try {
          if (packet.status === 503) throw new Fault("Unavailable", `nobody listens on ${subject}`);
          if (packet.headers?.["Pilot-Error"] !== undefined) throw Fault.fromData(decode(packet.body) as FaultData);
          resolve(contract.reply.parse(decode(packet.body)));
        } catch (thrown) {
          reject(thrown);
        }
      });
      this.send(subject, encode(body), reply);
    });
  }
}

class PacketMessage implements Message {
  readonly packet: Packet;

  constructor(packet: Packet) {
    this.packet = packet;
  }

  get subject(): string {
    return this.packet.subject;
  }
  get reply(): string {
    return this.packet.reply;
  }
  get body(): Uint8Array {
    return this.packet.body;
  }
  get status(): number {
    return this.packet.status;
  }
  get hasHeaders(): boolean {
    return this.packet.status !== 0 || this.packet.headers !== undefined;
  }
  header(name: string): string | undefined {
    return this.packet.headers?.[name];
  }
  headerNames(): readonly string[] {
    return Object.keys(this.packet.headers ?? {});
  }
}
