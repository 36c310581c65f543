/** A log that remembers, for tests that look at what was said. */
import type { Log } from "../../actors/kit/ports.ts";

export interface LogLine {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly message: string;
  readonly fields: Record<string, unknown>;
}

export interface RecordLog extends Log {
  readonly lines: LogLine[];
  /** Lines of that level whose message includes `text`. */
  find(level: LogLine["level"], text?: string): readonly LogLine[];
}

export function recordLog(): RecordLog {
  const lines: LogLine[] = [];
  const on =
    (level: LogLine["level"]) =>
    (message: string, fields: Record<string, unknown> = {}): void => {
      lines.push({ level, message, fields });
    };
  return {
    lines,
    debug: on("debug"),
    info: on("info"),
    warn: on("warn"),
    error: on("error"),
    find: (level, text = "") => lines.filter((line) => line.level === level && line.message.includes(text)),
  };
}
