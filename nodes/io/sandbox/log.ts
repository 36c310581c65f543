/** Where the sandbox tells what went wrong and nobody asked for. */
export type Log = (level: "debug" | "info" | "warn" | "error", message: string, fields?: Record<string, unknown>) => void;
