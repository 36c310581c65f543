/**
 * The whole platform for one test file: broker, scheduler, frontend and host as real processes on a fresh store,
 * an operator's connection, and an anonymous caller's, as any NATS client has it.
 */
import type { ExecutionContext } from "ava";
import { type Publication, publish } from "../../cli/publish.ts";
import { bundleSource, makeBundle } from "../../nodes/io/bundle/index.ts";
import type { CallReply } from "../../nodes/io/caller.ts";
import { resolveConnection } from "../../nodes/io/context.ts";
import { type Connected, connect } from "../../nodes/io/nats.ts";
import { type Running, type UpOptions, up } from "../../nodes/up.ts";
import { Fault } from "../../protocol/errors.ts";
import { showFleet } from "../../protocol/messages/fleet.ts";
import type { RuntimeName } from "../../protocol/runtimes.ts";
import { SUBJECT } from "../../protocol/subjects.ts";
import { keepLogs } from "./faults.ts";

/** How a call ended, with what its reply said of the placement. */
export interface Ended {
  readonly text: string;
  readonly body: Uint8Array;
  /** Parsed body where it is JSON. */
  readonly value: unknown;
  readonly error: string | undefined;
  readonly message: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface Platform {
  readonly running: Running;
  readonly operator: Connected;
  readonly anonymous: Connected;
  /** Deploys source text. Returns the version. */
  deploy(name: string, source: string, order?: Partial<Publication> & { readonly runtime?: RuntimeName }): Promise<number>;
  /** Deploys a file or directory. */
  deployPath(name: string, path: string, order?: Partial<Publication>): Promise<number>;
  /** Calls as an anonymous client, traced. Never rejects: an error is in `error`. */
  call(target: string, body?: unknown, headers?: Record<string, string>, timeoutMs?: number): Promise<Ended>;
  raw(subject: string, body: Uint8Array, headers?: Record<string, string>, timeoutMs?: number): Promise<Ended>;
  fleet(): Promise<Fleet>;
  stop(): Promise<void>;
}
type Fleet = ReturnType<typeof showFleet.reply.parse>;

/** Starts it; `stop` ends it. With `t`, it is stopped when the test is over. */
export async function startPlatform(options: UpOptions = {}, t?: ExecutionContext): Promise<Platform> {
  const running = await up({ temporary: true, port: 0, warm: { node: 2, python: 1 }, ...options });
  const operator = await connect(await resolveConnection({ context: running.context }, {}), {
    name: "test operator",
    role: "operator",
    node: "test",
    patient: true,
  });
  const anonymous = await connect({ servers: [running.nats] }, { name: "test caller", role: "anonymous", node: "test", patient: true });

  const raw: Platform["raw"] = async (subject, body, headers, timeoutMs = 30_000) => {
    try {
      return ended(await anonymous.caller.call(subject, body, { headers: { "Pilot-Trace": "1", ...headers }, timeoutMs }));
    } catch (thrown) {
      const fault = Fault.from(thrown);
      const known = (fault.details?.["headers"] ?? {}) as Record<string, string>;
      return { text: "", body: new Uint8Array(), value: undefined, error: fault.name, message: fault.message, headers: known };
    }
  };
  const put = async (name: string, bundle: Parameters<typeof publish>[1], order: Partial<Publication>) =>
    (await publish(operator, bundle, { account: "main", name, ...order })).version.version;

  const stop = async () => {
    await Promise.all([operator.close(), anonymous.close()]);
    keepLogs(running.store, ["logs", "broker/server.log"]);
    await running.stop();
  };
  t?.teardown(stop);
  return {
    running,
    operator,
    anonymous,
    deploy: async (name, source, { runtime = "node", ...order } = {}) => put(name, await bundleSource(source, runtime), order),
    deployPath: async (name, path, order = {}) => put(name, await makeBundle(path), order),
    call(target, body = {}, headers, timeoutMs) {
      const [account, name = "", qualifier] = target.includes("/") ? target.split(/[/:]/) : ["main", ...target.split(":")];
      const bytes = body instanceof Uint8Array ? body : new TextEncoder().encode(JSON.stringify(body));
      return raw(SUBJECT.fn(account ?? "main", name, qualifier), bytes, headers, timeoutMs);
    },
    raw,
    fleet: () => operator.bus.ask(showFleet, [], {}),
    stop,
  };
}

function ended({ body, headers }: CallReply): Ended {
  const text = new TextDecoder().decode(body);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // It is no JSON: `value` says so.
  }
  return { text, body, value, error: undefined, message: "", headers };
}
