/**
 * The bus on a real NATS connection. Rule number one lives here: nothing that a listener throws may reach the
 * client's read loop, since that would make the connection deaf without closing it.
 */
import {
  type ConnectionOptions,
  credsAuthenticator,
  connect as dial,
  jwtAuthenticator,
  type Msg,
  type MsgHdrs,
  type NatsConnection,
  headers as newHeaders,
  nkeyAuthenticator,
  type Service,
} from "nats";
import type { Bus, Message, Subscription } from "../../actors/kit/bus.ts";
import type { Log } from "../../actors/kit/ports.ts";
import { decode, encode } from "../../protocol/codec.ts";
import type { Event, Request } from "../../protocol/contract.ts";
import { Fault, type FaultData } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { inboxOf, type Role } from "../../protocol/subjects.ts";
import { PROTOCOL, VERSION } from "../../protocol/version.ts";
import { type AwayPolicy, type OwnCaller, openCaller } from "./caller.ts";
import type { ConnectionSettings } from "./context.ts";
import { within } from "./within.ts";

/** Where and as whom to connect; made by context.ts from flags, environment and context files. */
export type Connection = Omit<ConnectionSettings, "origin">;

export interface ConnectOptions {
  /** Connection name as the broker shows it. */
  readonly name: string;
  readonly role: Role;
  readonly node: string;
  readonly log?: Log;
  /** Nodes wait for a broker that is still starting and reconnect for ever; commands give up at once. Default false. */
  readonly patient?: boolean;
  /**
   * True: the broker is asked several times a second whether it is there, and one that does not answer counts as not connected,
   * though the line stands. For the connection by which nodes judge each other. Default false.
   */
  readonly probed?: boolean;
  /** True: the broker is asked all the time too, but only `owedMs` of the bus tells. Default false. */
  readonly asks?: boolean;
  /** How often to dial again when the connection is lost; -1: for ever. Default: for ever when patient, else 10 times. */
  readonly reconnects?: number;
  /** What becomes of calls while the connection is away. */
  readonly away?: AwayPolicy;
  /** True: servers are tried in the order in which they are given, so that whoever knows the same ones sits on one. Default: in any. */
  readonly ordered?: boolean;
  /** Called when the broker does not let this credential send to, or hear, a subject. */
  readonly onRefused?: (subject: string) => void;
  /** Called when the connection is lost and when it is back. */
  readonly onStatus?: (status: "disconnected" | "reconnected") => void;
}

export interface Connected {
  readonly bus: Bus;
  readonly caller: OwnCaller;
  /** For other code in nodes/io only. */
  readonly nc: NatsConnection;
  /** Drains and closes; within LIMITS.connectionClose also where the broker does not answer, and at once where it is gone. Never rejects. */
  close(): Promise<void>;
}

/** Rejects with Fault Unavailable (platform) naming the server when it cannot be reached, NotAllowed when it refuses the credential. */
export async function connect(connection: Connection, options: ConnectOptions): Promise<Connected> {
  const nc = await dial(dialOptions(connection, options)).catch((error: unknown) => {
    const text = error instanceof Error ? error.message : String(error);
    if (/authorization|permissions/i.test(text))
      throw new Fault("NotAllowed", `the broker at ${connection.servers.join(", ")} refused the credential: ${text}`);
    throw new Fault("Unavailable", `cannot reach a broker at ${connection.servers.join(", ")}: ${text}`, undefined, error);
  });
  const status = { connected: true };
  // A gateway may hear its own part of callers' inboxes only.
  const inboxes = options.role === "gateway" ? "_INBOX.gateway" : (connection.inboxPrefix ?? "_INBOX");
  const caller = openCaller(nc, inboxes, { ...options.away, gathers: options.role === "gateway" });
  void nc.closed().then((error) => {
    const why = error instanceof Error ? `: ${error.message}` : "";
    caller.end(new Fault("Unavailable", `the connection to the broker is closed${why}`));
  });
  void (async () => {
    for await (const event of nc.status()) {
      if (event.type === "disconnect") {
        status.connected = false;
        caller.away();
        options.onStatus?.("disconnected");
      } else if (event.type === "reconnect") {
        status.connected = true;
        caller.back();
        options.onStatus?.("reconnected");
      } else if (event.type === "error") {
        const subject = event.permissionContext?.subject;
        options.log?.warn("the broker reported an error", { event: String(event.data), subject });
        if (subject !== undefined) options.onRefused?.(subject);
      }
    }
  })();
  const services: Service[] = [];
  const owedMs = options.probed === true || options.asks === true ? probe(nc) : () => 0;
  const answers = () => options.probed !== true || owedMs() <= PROBE_LATE_MS;
  const bus = openBus(nc, options, () => status.connected && answers(), owedMs, services);
  return {
    bus,
    caller,
    nc,
    async close() {
      // In order takes answers of the broker; the library waits for them for ever, also of one that is gone.
      const inOrder = async (): Promise<void> => {
        await Promise.all(services.map((service) => service.stop().catch(() => undefined)));
        await nc.drain();
      };
      if (status.connected) await within(inOrder(), LIMITS.connectionClose.value, "the broker did not answer").catch(() => undefined);
      if (!nc.isClosed()) await nc.close();
    },
  };
}

/** Pause between two questions to the broker. */
const PROBE_MS = 250;
/** A broker that owes an answer for this long stands still; well below what a host may be silent, and a busy one answers in time. */
const PROBE_LATE_MS = 400;

/**
 * Tells for how long the broker has owed an answer. It may hang while its connections stand, and then nobody can be heard; and what arrives on a
 * connection before the answer was sent before it.
 */
function probe(nc: NatsConnection): () => number {
  let askedAt: number | undefined;
  const answered = (): void => {
    askedAt = undefined;
  };
  const timer = setInterval(() => {
    if (nc.isClosed()) clearInterval(timer);
    else if (askedAt === undefined) {
      askedAt = performance.now();
      nc.flush().then(answered, answered);
    }
  }, PROBE_MS);
  timer.unref();
  return () => (askedAt === undefined ? 0 : performance.now() - askedAt);
}

/** How often the only server is asked whether it is there. */
const LONELY_PING_MS = 10_000;
/** How long the only server may take to greet. */
const LONELY_DIAL_MS = 5_000;

function dialOptions(connection: Connection, options: ConnectOptions): ConnectionOptions {
  const { servers, user, password, token, nkeySeed, jwt, creds, tls } = connection;
  const bytes = (text: string) => new TextEncoder().encode(text);
  return {
    servers: [...servers],
    name: options.name,
    noAsyncTraces: true,
    // A cut cable closes nothing. With one server only, to dial it again would help nobody, and one that stands still may go on.
    pingInterval: servers.length > 1 ? LIMITS.brokerPing.value : LONELY_PING_MS,
    maxPingOut: 2,
    reconnectTimeWait: 100,
    reconnectJitter: 100,
    // The library dials the server that was lost first, and one behind a cut cable never refuses.
    timeout: servers.length > 1 ? LIMITS.brokerDial.value : LONELY_DIAL_MS,
    maxReconnectAttempts: options.reconnects ?? (options.patient === true ? -1 : 10),
    reconnect: options.reconnects !== 0,
    noRandomize: options.ordered === true,
    waitOnFirstConnect: options.patient === true,
    inboxPrefix: options.role === "anonymous" ? (connection.inboxPrefix ?? "_INBOX") : inboxOf(options.role, options.node),
    ...(user !== undefined && { user }),
    ...(password !== undefined && { pass: password }),
    ...(token !== undefined && { token }),
    ...(nkeySeed !== undefined && jwt === undefined && { authenticator: nkeyAuthenticator(bytes(nkeySeed)) }),
    ...(jwt !== undefined && { authenticator: jwtAuthenticator(jwt, nkeySeed === undefined ? undefined : bytes(nkeySeed)) }),
    ...(creds !== undefined && { authenticator: credsAuthenticator(bytes(creds)) }),
    ...(tls !== undefined && {
      tls: {
        ...(tls.ca !== undefined && { caFile: tls.ca }),
        ...(tls.cert !== undefined && { certFile: tls.cert }),
        ...(tls.key !== undefined && { keyFile: tls.key }),
      },
    }),
  };
}

function openBus(nc: NatsConnection, options: ConnectOptions, connected: () => boolean, owedMs: () => number, services: Service[]): Bus {
  const { log } = options;
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
      if (headers === undefined) {
        nc.publish(subject, body, reply === undefined || reply === "" ? undefined : { reply });
        return;
      }
      const wire = newHeaders();
      for (const name in headers) wire.set(name, headers[name] as string);
      nc.publish(subject, body, reply === undefined || reply === "" ? { headers: wire } : { headers: wire, reply });
    },
    tell<P extends readonly string[], Q>(contract: Event<P, Q>, params: P, body: Q) {
      if (!nc.isClosed()) nc.publish(contract.subject(...params), encode(body));
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
