/** Turns a line of a node's log into plain words for a terminal; pure. */

const NAMES = new Map([
  [10, "trace"],
  [20, "debug"],
  [30, "info"],
  [40, "warning"],
  [50, "error"],
  [60, "fatal"],
]);

/** The sentence to show, or undefined for a line below `least` (a level of pino; 40 is a warning). A line that is not ours (a crash, a stack) is shown as it is. */
export function plainLine(node: string, line: string, least = 40): string | undefined {
  const entry = parse(line);
  if (entry === undefined) return `${node}: ${printable(line)}`;
  const level = entry["level"];
  const name = typeof level === "number" ? NAMES.get(level) : undefined;
  if (name === undefined || Number(level) < least) return undefined;
  const cause = causeOf(entry);
  const detail = cause === undefined ? "" : `: ${cause}`;
  return `${node}: ${name}: ${printable(String(entry["msg"] ?? "") + detail)}`;
}

/** The message of what went wrong: pino's `err`, or the first line of an `error` text. */
function causeOf(entry: Record<string, unknown>): string | undefined {
  const { err, error } = entry;
  if (typeof err === "object" && err !== null && "message" in err) return String(err.message);
  return typeof error === "string" ? error.split("\n", 1)[0] : undefined;
}

function parse(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

/** Log text may quote hostile input: no control characters reach the terminal. */
function printable(text: string): string {
  return text.replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "?");
}
