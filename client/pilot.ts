/** An open client. */
import { openInvoker } from "../nodes/io/invoke.ts";
import type { Connected } from "../nodes/io/nats.ts";
import { within } from "../nodes/io/within.ts";
import { Fault } from "../protocol/errors.ts";
import { LIMITS } from "../protocol/limits.ts";
import { PilotError } from "./error.ts";
import type { CallOptions, InlineOptions, Target } from "./options.ts";
import { type Reply, replyOf } from "./reply.ts";
import { accountOf, bytesOf, calleeOf, inlineBody, settingsOf } from "./request.ts";

/** Every rejection of a call is a PilotError. Bodies up to 64 MiB are sent and received; large ones in parts, by themselves. */
export interface Pilot {
  /**
   * Calls a function. The payload is sent as JSON, bytes (Uint8Array, ArrayBuffer, any view) as they are, `undefined` as no body. Gives
   * the value of the reply: JSON parsed, `undefined` for no bytes, other bytes as Uint8Array.
   *
   *     const { total } = await pilot.invoke<{ total: number }>("total", { items }, { timeoutMs: 5_000 });
   */
  invoke<T = unknown>(wanted: Target, payload?: unknown, options?: CallOptions): Promise<T>;
  /**
   * The same with the reply as it came: bytes, headers and, with `trace: true`, how the call was placed.
   *
   *     const { bytes, trace } = await pilot.call("thumbnail", picture, { trace: true });
   */
  call(wanted: Target, payload?: unknown, options?: CallOptions): Promise<Reply>;
  /**
   * Runs code that is nowhere deployed; nothing is kept of it. The payload must be JSON.
   *
   *     await pilot.invokeInline("export const handler = (event) => event.length", [1, 2, 3]);
   */
  invokeInline<T = unknown>(source: string, payload?: unknown, options?: InlineOptions): Promise<T>;
  /** True while the connection to the broker stands. */
  readonly connected: boolean;
  /** Calls that wait for their reply. */
  readonly open: number;
  /**
   * Takes no new calls, waits for the open ones, 30 s at most unless said otherwise, and closes the connection. What is open then ends
   * as `Cancelled`, while its run goes on. Legal twice.
   *
   *     await pilot.close({ timeoutMs: 1_000 });
   */
  close(options?: { readonly timeoutMs?: number | undefined }): Promise<void>;
}

export interface PilotSettings {
  readonly account: string;
  readonly whileAway: "wait" | "fail";
}

/** A client on a connection that it owns from now on. */
export function openPilot(platform: Connected, { account, whileAway }: PilotSettings): Pilot {
  const { caller, bus, nc } = platform;
  const invoker = openInvoker({ caller, bus });
  const waits = { calls: 0, ended: undefined as (() => void) | undefined };
  let closing: Promise<void> | undefined;

  const run = async (make: () => Parameters<typeof invoker.invoke>[0]): Promise<Reply> => {
    waits.calls += 1;
    try {
      if (closing !== undefined) throw new Fault("Unavailable", "this client is closed", { undelivered: true });
      return replyOf(await invoker.invoke({ ...make(), retriesAbsent: whileAway === "wait" }));
    } catch (thrown) {
      throw PilotError.of(thrown);
    } finally {
      waits.calls -= 1;
      if (waits.calls === 0) waits.ended?.();
    }
  };

  const call = (wanted: Target, payload: unknown, options: CallOptions = {}): Promise<Reply> =>
    run(() => ({ ...calleeOf(wanted, options.account ?? account), body: bytesOf(payload), ...settingsOf(options) }));

  const end = async (timeoutMs: number): Promise<void> => {
    const allEnded = waits.calls === 0 ? Promise.resolve() : new Promise<void>((resolve) => void (waits.ended = resolve));
    const settled = allEnded.then(() => invoker.settled());
    await within(settled, timeoutMs, "calls did not end").catch(() => undefined);
    caller.end(new Fault("Cancelled", "the client was closed while the call was under way"));
    await platform.close();
  };

  return {
    call,
    invoke: async <T>(wanted: Target, payload?: unknown, options?: CallOptions) => (await call(wanted, payload, options)).value() as T,
    invokeInline: async <T>(source: string, payload?: unknown, options: InlineOptions = {}) => {
      const { runtime: _, handler: __, ...rest } = options;
      const inAccount = options.account ?? account;
      const reply = await run(() => ({
        account: accountOf(inAccount),
        callee: undefined,
        body: inlineBody(source, payload, options),
        ...settingsOf(rest),
      }));
      return reply.value() as T;
    },
    get connected() {
      return bus.connected && !nc.isClosed();
    },
    get open() {
      return waits.calls;
    },
    close({ timeoutMs = LIMITS.clientClose.value } = {}) {
      closing ??= end(timeoutMs);
      return closing;
    },
  };
}
