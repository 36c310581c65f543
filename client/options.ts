/** What may be said when connecting and with a call. Times are milliseconds. */
import type { RuntimeName } from "../protocol/runtimes.ts";

/** `connected` once at the start, then as it goes; `closed` is the last. */
export type Status = "connected" | "disconnected" | "reconnected" | "closed";

/**
 * Where to connect and as whom. What is not given is looked up as the command line does it: `NATS_URL` and its siblings, a NATS
 * context, the newest `pilot up` on this machine, `nats://127.0.0.1:4222`.
 */
export interface ConnectOptions {
  /** `nats://host:port`, one or several; several are tried in this order. */
  readonly servers?: string | readonly string[] | undefined;
  /** Name of a NATS context, or path of a context file. */
  readonly context?: string | undefined;
  /** Path of a credentials file. */
  readonly creds?: string | undefined;
  /** Path of a file with an nkey seed. */
  readonly nkey?: string | undefined;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  readonly token?: string | undefined;
  /** Paths of PEM files. */
  readonly tls?: { readonly cert?: string | undefined; readonly key?: string | undefined; readonly ca?: string | undefined } | undefined;
  /** Where replies come to, as the credential permits; under `_INBOX.` or `_R_.`. Default `_INBOX`. */
  readonly inboxPrefix?: string | undefined;
  /** The account whose functions are called, unless a call says otherwise. Default `main`. */
  readonly account?: string | undefined;
  /** How the broker shows this connection. Default `pilotlight`. */
  readonly name?: string | undefined;
  /** False: a connection that is lost stays lost, and the client with it. Default true: it is made anew, for ever. */
  readonly reconnect?: boolean | undefined;
  /**
   * What becomes of calls that are made while the connection is away, or while nobody answers: `wait` keeps them (1,024 calls, 64 MiB)
   * and sends them when it is back, as long as each may wait for a place; `fail` ends them at once as `Unavailable`. Default `wait`.
   */
  readonly whileAway?: "wait" | "fail" | undefined;
  /**
   * What becomes of calls under way when the connection is lost: `wait` for the reply, which may still come, until the call's own end,
   * which is `InstanceLost` then; `fail` ends them at once as `InstanceLost`. Nothing is ever sent a second time. Default `wait`.
   */
  readonly underWay?: "wait" | "fail" | undefined;
  /** Told of the connection's ups and downs. Must not throw. */
  readonly onStatus?: ((status: Status) => void) | undefined;
}

/** A function: `"hello"`, `"hello.beta"`, `"hello:3"`, or its parts. The alias without qualifier is `live`. */
export type Target = string | { readonly name: string; readonly qualifier?: string | undefined; readonly account?: string | undefined };

/** Of a body above about 4 MiB, or a result: bytes that are through, and in all. */
export interface Progress {
  readonly direction: "up" | "down";
  readonly done: number;
  readonly total: number;
}

/** Each may be left out; a call without any takes the shortest way. */
export interface CallOptions {
  /** Run time limit of this call, not above the function's own. */
  readonly timeoutMs?: number | undefined;
  /** How long it may wait for a place. Default 3 s. */
  readonly deadlineMs?: number | undefined;
  /**
   * How long to wait for the reply in all. The platform answers every call by itself; this is for the few that nobody can speak for any
   * more. Default: deadline + time limit + 2 s. Where neither this nor `timeoutMs` is given, the time limit is the function's own if the
   * credential may ask for it, else 30 s.
   */
  readonly patienceMs?: number | undefined;
  /** Memory in MB for this call instead of the stored amount. */
  readonly memoryMb?: number | undefined;
  /** A runtime the host must offer, for example `node@20`. */
  readonly runtime?: string | undefined;
  /** Ends the call with `Cancelled`: the wait at once, and the run itself. */
  readonly signal?: AbortSignal | undefined;
  /** True: the reply says how the call was placed. */
  readonly trace?: boolean | undefined;
  /** Further headers, such as `traceparent`. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** The account of the function. */
  readonly account?: string | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

/** Code in the call itself. */
export interface InlineOptions extends Omit<CallOptions, "runtime"> {
  /** Default `node`. */
  readonly runtime?: RuntimeName | undefined;
  /** The function to call. Default `handler`. */
  readonly handler?: string | undefined;
}
