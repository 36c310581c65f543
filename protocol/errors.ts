/**
 * The closed table of errors, and the one class that carries them.
 * `fault`: who has to act. `retry`: `no` (the same call fails again), `elsewhere` (another place may do), `later`.
 * `code` is HTTP-like and travels as Nats-Service-Error-Code; the name travels as Pilot-Error. Names are never reused.
 */

export type Culprit = "caller" | "function" | "platform";
export type Retry = "no" | "elsewhere" | "later";

interface ErrorRow {
  readonly code: number;
  readonly fault: Culprit;
  readonly retry: Retry;
  /** What happened, for the table in docs/errors.md. */
  readonly meaning: string;
  /** What to do next. */
  readonly cure: string;
}

const row = (code: number, fault: Culprit, retry: Retry, meaning: string, cure: string): ErrorRow => ({
  code,
  fault,
  retry,
  meaning,
  cure,
});

export const ERRORS = {
  // the caller's request
  BadRequest: row(400, "caller", "no", "The request is malformed.", "Correct what the message names."),
  BadName: row(
    400,
    "caller",
    "no",
    "A name in the subject is not allowed.",
    "Use 1 to 63 of a-z, 0-9, _ and -, starting with a letter or digit.",
  ),
  BadHeader: row(
    400,
    "caller",
    "no",
    "A Pilot- header is unknown or has a value that makes no sense.",
    "See docs/subjects.md for the headers of a call.",
  ),
  NotAllowed: row(403, "caller", "no", "The account or the credential does not permit this.", "Ask the operator."),
  FunctionNotFound: row(404, "caller", "no", "No such function, version or alias.", "Deploy it, or list what there is with: pilot fn ls"),
  NotFound: row(404, "caller", "no", "The thing that was named does not exist.", "List what there is with the ls command of its noun."),
  Conflict: row(
    409,
    "caller",
    "later",
    "Somebody else changed it at the same time, or uses it.",
    "Look at what the message names, and repeat the command.",
  ),
  PayloadTooLarge: row(
    413,
    "caller",
    "no",
    "The body is larger than a message may be.",
    "Send it with pilot invoke or the client of this package, which send up to 64 MiB in parts; or store it yourself and send a reference.",
  ),
  BodyUnavailable: row(
    410,
    "caller",
    "no",
    "The large body that a Pilot-Body header names is not in the store, has expired, was used already, or has another digest.",
    "Send the body again: it is kept for an hour, and for one call.",
  ),
  BundleTooLarge: row(413, "caller", "no", "The code is larger than a bundle may be.", "Leave out files that are not needed at run time."),
  BadCode: row(
    422,
    "caller",
    "no",
    "The code cannot be bundled or compiled.",
    "Correct the place that the message names and deploy again.",
  ),
  ConfigurationUnavailable: row(
    422,
    "caller",
    "no",
    "No host offers the runtime, version or amount that was asked for.",
    "Ask for one that pilot pool show lists.",
  ),
  ChainTooDeep: row(422, "caller", "no", "Functions call each other too deeply.", "Look for a loop of functions that call each other."),
  Cancelled: row(499, "caller", "no", "The caller or an operator cancelled the call.", "Nothing."),
  Throttled: row(
    429,
    "platform",
    "later",
    "No place became free in time, or the waiting room is full.",
    "Try again after the time that the message names, or add capacity.",
  ),
  // the function's code
  HandlerError: row(
    500,
    "function",
    "no",
    "The function threw, or could not be loaded.",
    "See the stack in the message and the logs of the call.",
  ),
  BadResult: row(500, "function", "no", "The function returned something that cannot be sent.", "Return JSON or bytes."),
  ResultTooLarge: row(
    500,
    "function",
    "no",
    "The result is larger than its caller can take.",
    "Call with pilot invoke or the client of this package, which take up to 64 MiB; or store the data and return a reference.",
  ),
  Crashed: row(
    500,
    "function",
    "no",
    "The function's process ended in the middle of the call.",
    "See the logs of the call; a native crash or process.exit ends a process.",
  ),
  OutOfMemory: row(
    507,
    "function",
    "no",
    "The function used more memory than it has.",
    "Deploy it with more: pilot fn set NAME --memory MB",
  ),
  TimedOut: row(
    504,
    "function",
    "no",
    "The function ran longer than its time limit and was ended.",
    "Raise it with pilot fn set NAME --timeout, or make the code faster.",
  ),
  // the platform
  InstanceLost: row(
    502,
    "platform",
    "elsewhere",
    "The host or instance died while the call may have been running.",
    "Call again if running twice does no harm.",
  ),
  BootFailed: row(503, "platform", "later", "A sandbox could not be started.", "See pilot doctor and the log of the host."),
  CodeUnavailable: row(503, "platform", "later", "The code could not be read from the object store.", "See pilot doctor."),
  Unavailable: row(503, "platform", "later", "No node answers that can do this.", "See pilot doctor; is the cluster up?"),
  Draining: row(503, "platform", "elsewhere", "The node is stopping and takes nothing new.", "Call again."),
  Internal: row(500, "platform", "later", "A fault inside the platform.", "Report it with the log lines around it."),
} as const satisfies Record<string, ErrorRow>;

export type ErrorName = keyof typeof ERRORS;

export function isErrorName(text: string): text is ErrorName {
  return Object.hasOwn(ERRORS, text);
}

/** How a fault crosses the wire. */
export interface FaultData {
  readonly name: ErrorName;
  readonly message: string;
  readonly details?: Record<string, unknown>;
}

/** An error with a row in the table. The message says what happened and to what; the row says whose fault it is. */
export class Fault extends Error {
  override readonly name: ErrorName;
  readonly details: Record<string, unknown> | undefined;

  constructor(name: ErrorName, message: string, details?: Record<string, unknown>, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = name;
    this.details = details;
  }

  get code(): number {
    return ERRORS[this.name].code;
  }
  get fault(): Culprit {
    return ERRORS[this.name].fault;
  }
  get retry(): Retry {
    return ERRORS[this.name].retry;
  }

  toData(): FaultData {
    return { name: this.name, message: this.message, ...(this.details && { details: this.details }) };
  }

  static fromData(data: FaultData): Fault {
    return new Fault(isErrorName(data.name) ? data.name : "Internal", String(data.message), data.details);
  }

  /** Anything thrown becomes a Fault; what is not one already is `Internal`. */
  static from(thrown: unknown): Fault {
    if (thrown instanceof Fault) return thrown;
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return new Fault("Internal", message, undefined, thrown);
  }
}
