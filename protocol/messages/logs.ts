/** What functions print, on its way to the stream PILOT_LOGS and to whoever follows it. */
import Type, { type Static } from "typebox";
import { event } from "../contract.ts";
import { SUBJECT } from "../subjects.ts";
import { Count, Id } from "./records.ts";

/** The stream that keeps them. */
export const LOG_STREAM_NAME = "PILOT_LOGS";

/** Output of a function, kept in the stream PILOT_LOGS. */
const FunctionLogsSchema = Type.Object({
  host: Id,
  lines: Type.Array(
    Type.Object({
      /** Call id, or "" outside any call. */
      call: Type.String({ maxLength: 64 }),
      version: Count,
      stream: Type.Union([Type.Literal("stdout"), Type.Literal("stderr"), Type.Literal("log"), Type.Literal("platform")]),
      text: Type.String(),
      /** Ms since 1970. */
      at: Type.Number(),
    }),
  ),
});
export type FunctionLogs = Static<typeof FunctionLogsSchema>;

export const functionLogs = event({
  name: "function-logs",
  subject: (account: string, name: string) => SUBJECT.logs(account, name),
  body: FunctionLogsSchema,
  meaning: "Log lines of one function, in order per container.",
});
