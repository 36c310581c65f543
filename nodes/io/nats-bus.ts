/**
 * The bus on a real NATS connection. Rule number one lives here: nothing that a listener throws may reach the
 * client's read loop, since that would make the connection deaf without closing it.
 */
import { type Msg, type MsgHdrs, type NatsConnection, headers as newHeaders, type PublishOptions, type Service } from "nats";
import type { Bus, Message, Subscription } from "../../actors/kit/bus.ts";
import type { Log } from "../../actors/kit/ports.ts";
import { decode, encode } from "../../protocol/codec.ts";
import type { Event, Request } from "../../protocol/contract.ts";
import { Fault, type FaultData } from "../../protocol/errors.ts";
import type { Role } from "../../protocol/subjects.ts";
import { PROTOCOL, VERSION } from "../../protocol/version.ts";
import type { HeldBack } from "./held-back.ts";

export interface NatsBusOptions {
  readonly role: Role;
  readonly node: string;
  readonly log?: Log | undefined;
  readonly connected: () => boolean;
  /** For how long the broker has owed an answer, in ms. */
  readonly owedMs: () => number;
  /** What is sent or told goes through it. */
  readonly held: HeldBack;
  /** Services that were started: whoever closes the connection stops them first. */
  readonly services: Service[];
}

export function openBus(nc: NatsConnection, options: NatsBusOptions): Bus {
  const { log, connected, owedMs, held, services } = options;
  let service: Promise<Service> | undefined;
  const endpoints = new Map<string, number>();

  const listen = (subject: string, queue: string | undefined, listener: (message: Message) => void): Subscription => {
    const subscription = nc.subscribe(subject, {
      ...(queue !== undefined && { queue }),
      callback(error, msg) {
        if (error !== null) {
          log?.warn("subscription refused", { subject, error: error.message });
          return;
        }
        try {
          listener(new RawMessage(msg));
        } catch (thrown) {
          log?.error("a listener failed", { subject, error: thrown instanceof Error ? thrown.stack : String(thrown) });
        }
      },
    });
    return { stop: () => (subscription.isClosed() ? Promise.resolve() : subscription.drain().catch(() => undefined)) };
  };

  return {
    get connected() {
      return connected();
    },
    get owedMs() {
      return owedMs();
    },
    listen: (subject, { queue }, listener) => listen(subject, queue, listener),
    send(subject, body, reply, headers) {
      if (nc.isClosed()) return;
      const asks = reply !== undefined && reply !== "";
      let publishing: PublishOptions | undefined;
      if (headers !== undefined) {
        const wire = newHeaders();
        for (const name in headers) wire.set(name, headers[name] as string);
        publishing = asks ? { headers: wire, reply } : { headers: wire };
      } else if (asks) publishing = { reply };
      if (asks) held.order(subject, body, publishing);
      else held.answer(subject, body, publishing);
    },
    tell<P extends readonly string[], Q>(contract: Event<P, Q>, params: P, body: Q) {
      if (!nc.isClosed()) held.order(contract.subject(...params), encode(body));
    },
    hear<P extends readonly string[], Q>(contract: Event<P, Q>, params: P, listener: (body: Q) => void) {
      return listen(contract.subject(...params), undefined, (message) => listener(contract.body.parse(decode(message.body))));
    },
    async ask<P extends readonly string[], Q, R>(contract: Request<P, Q, R>, params: P, body: Q, timeoutMs?: number): Promise<R> {
      const subject = contract.subject(...params);
      const answer = await nc.request(subject, encode(body), { timeout: timeoutMs ?? contract.timeoutMs }).catch((error: unknown) => {
        throw unanswered(contract.name, error);
      });
      const value = decode(answer.data);
      if (answer.headers?.has("Nats-Service-Error-Code")) throw Fault.fromData(value as FaultData);
      return contract.reply.parse(value);
    },
    serve<P extends readonly string[], Q, R>(
      contract: Request<P, Q, R>,
      params: P,
      handler: (body: Q) => Promise<R> | R,
      queue?: string,
    ): Subscription {
      const open = { serving: true };
      service ??= nc.services.add({
        name: `pilot-${options.role}`,
        version: VERSION,
        description: `Pilotlight ${options.role} ${options.node}`,
        metadata: { node: options.node, protocol: String(PROTOCOL) },
      });
      void service.then(
        (running) => {
          if (!services.includes(running)) services.push(running);
          // One conversation may be served under several subjects: endpoint names must differ.
          const nth = endpoints.get(contract.name) ?? 0;
          endpoints.set(contract.name, nth + 1);
          running.addEndpoint(nth === 0 ? contract.name : `${contract.name}-${nth}`, {
            subject: contract.subject(...params),
            ...(queue !== undefined && { queue }),
            metadata: { meaning: contract.meaning },
            handler: (error, msg) => {
              if (error !== null) return;
              void answer(msg).catch((thrown) => log?.error("an answer failed", { contract: contract.name, error: String(thrown) }));
            },
          });
        },
        (error: unknown) => log?.error("the service did not start", { error: String(error) }),
      );

      const answer = async (msg: {
        data: Uint8Array;
        respond(data: Uint8Array): boolean;
        respondError(code: number, text: string, data: Uint8Array): boolean;
      }) => {
        try {
          if (!open.serving) throw new Fault("Draining", "this node is stopping");
          msg.respond(encode(await handler(contract.request.parse(decodeRequest(msg.data)))));
        } catch (thrown) {
          const fault = Fault.from(thrown);
          if (fault.name === "Internal")
            log?.error("a request failed", { contract: contract.name, error: fault.stack, cause: String(fault.cause ?? "") });
          msg.respondError(fault.code, oneLine(fault.message), encode(fault.toData()));
        }
      };
      return {
        stop() {
          open.serving = false;
          return Promise.resolve();
        },
      };
    },
  };
}

function decodeRequest(data: Uint8Array): unknown {
  try {
    return decode(data);
  } catch {
    throw new Fault("BadRequest", "the request is not msgpack");
  }
}

function unanswered(what: string, error: unknown): Fault {
  const code = (error as { code?: string }).code;
  if (code === "503") return new Fault("Unavailable", `no node answers "${what}"`);
  if (code === "TIMEOUT") return new Fault("Unavailable", `no answer to "${what}" in time`);
  const text = error instanceof Error ? error.message : String(error);
  if (/permissions violation/i.test(text)) return new Fault("NotAllowed", `the credential does not permit "${what}"`, undefined, error);
  return new Fault("Unavailable", `"${what}" failed: ${text}`, undefined, error);
}

/** Header values hold one line. */
function oneLine(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f]+/g, " ").slice(0, 1_024);
}

class RawMessage implements Message {
  readonly #msg: Msg;
  constructor(msg: Msg) {
    this.#msg = msg;
  }
  get subject(): string {
    return this.#msg.subject;
  }
  get reply(): string {
    return this.#msg.reply ?? "";
  }
  get body(): Uint8Array {
    return this.#msg.data;
  }
  get status(): number {
    try {
      return this.#msg.headers?.code ?? 0;
    } catch {
      return 0;
    }
  }
  get hasHeaders(): boolean {
    try {
      return this.#msg.headers !== undefined;
    } catch {
      return true;
    }
  }
  header(name: string): string | undefined {
    const headers = this.#headers();
    return headers?.has(name) ? headers.get(name) : undefined;
  }
  headerNames(): readonly string[] {
    return this.#headers()?.keys() ?? [];
  }
  /** The broker passes on any bytes as a header block; the client library throws when it reads a malformed one. */
  #headers(): MsgHdrs | undefined {
    try {
      return this.#msg.headers;
    } catch (thrown) {
      throw new Fault("BadHeader", `the headers cannot be read: ${oneLine(thrown instanceof Error ? thrown.message : String(thrown))}`);
    }
  }
}
