/** A connection to the broker: its bus, its caller, and how it ends. */
import { connect as dial, type NatsConnection, type Service } from "nats";
import type { Bus } from "../../actors/kit/bus.ts";
import type { Log } from "../../actors/kit/ports.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import type { Role } from "../../protocol/subjects.ts";
import { type AwayPolicy, type OwnCaller, openCaller } from "./caller.ts";
import type { ConnectionSettings } from "./context.ts";
import { dialOptions } from "./dial.ts";
import { flushed } from "./flushed.ts";
import { HeldBack } from "./held-back.ts";
import { openBus } from "./nats-bus.ts";
import { openPulse } from "./pulse.ts";
import { until } from "./until.ts";
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
  /** Resolves when the broker has all that was sent, on this connection or, where it is lost, on the next. Rejects when it is closed for good. */
  settled(): Promise<void>;
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
  const pulse = options.probed === true || options.asks === true ? openPulse(nc, () => held.send()) : undefined;
  const isSteady = () => pulse === undefined || pulse.isSteady();
  const dropped = (count: number) =>
    options.log?.warn("messages that waited for the broker were more than may be kept, and are lost", { count });
  const held = new HeldBack(nc, { isConnected: () => status.connected, isSteady, dropped });
  void nc.closed().then((error) => {
    const why = error instanceof Error ? `: ${error.message}` : "";
    caller.end(new Fault("Unavailable", `the connection to the broker is closed${why}`));
  });
  void (async () => {
    for await (const event of nc.status()) {
      if (event.type === "disconnect") {
        status.connected = false;
        held.disconnected();
        caller.away();
        options.onStatus?.("disconnected");
      } else if (event.type === "reconnect") {
        status.connected = true;
        held.send();
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
  const owedMs = () => pulse?.owedMs() ?? 0;
  const connected = () => status.connected && isSteady() && (options.probed !== true || pulse === undefined || pulse.answers());
  const { role, node, log } = options;
  const bus = openBus(nc, { role, node, log, connected, owedMs, held, services });
  return {
    bus,
    caller,
    nc,
    async settled() {
      await until(() => (connected() || nc.isClosed() ? true : undefined), Number.POSITIVE_INFINITY);
      await flushed(nc);
    },
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
