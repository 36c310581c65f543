/**
 * What a fake container runs: a JavaScript function in the host's own process, found by the text of the "code".
 * A program may do everything that real code does to its host, and everything that it should not.
 */
import type { LoadExtra, Thrown } from "../../protocol/frames.ts";

/** Bytes go out as they are, undefined as an empty body, anything else as JSON. */
export type FakeResult = unknown;

export interface FakeContext {
  readonly callId: string;
  /** Ms since 1970. */
  readonly deadline: number;
  readonly load: LoadExtra;
  /** Resolves after so many ms of the sandbox's clock. */
  sleep(ms: number): Promise<void>;
  /** Any number of lines on stdout, or on the stream that is named. */
  log(text: string, stream?: "stdout" | "stderr" | "log"): void;
  call(name: string, payload?: Uint8Array): Promise<Uint8Array>;
  publish(subject: string, payload?: Uint8Array): Promise<void>;
  readonly kv: {
    get(key: string): Promise<Uint8Array | undefined>;
    put(key: string, value: Uint8Array): Promise<void>;
    delete(key: string): Promise<void>;
  };
  /** Uses so much memory from now on; above the container's amount it is ended as out of memory. */
  useMemory(mb: number): void;
  /** Uses cpu time, for the statistics. */
  useCpu(ms: number): void;
  /** Writes to the process's own stderr, outside the channel. */
  print(text: string): void;
  /** Ends the process. Nothing after it has an effect. */
  exit(code: number): void;
  /** Ends it by a signal, such as SIGSEGV. */
  die(signal: string): void;
  /** Sends any frame, also a forged one. */
  sendFrame(type: number, flags: number, id: number, extra: Uint8Array, payload: Uint8Array): void;
  /** Sends bytes that may be no frame at all. */
  sendBytes(bytes: Uint8Array): void;
}

export interface FakeProgram {
  /** How long loading takes. Default 0. */
  readonly loadMs?: number;
  /** Loading fails so. */
  readonly loadError?: Thrown;
  /** Loading never ends. */
  readonly loadHangs?: boolean;
  /** Loading ends the process with this code. */
  readonly loadExit?: number;
  /** Cached data that loading makes when it got none. */
  readonly cachedData?: Uint8Array;
  /** Throwing is a HandlerError. A promise that never settles is a call that hangs. */
  run(body: Uint8Array, context: FakeContext): FakeResult | Promise<FakeResult>;
}

/** Thrown by a program to say that its result cannot be sent. */
export class FakeBadResult extends Error {}
