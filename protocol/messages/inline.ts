/** Code inside a request (F002): the JSON body of `pilot.inline.<account>`. */
import Type, { type Static } from "typebox";
import { checked, Strict } from "../contract.ts";
import { Memory, RuntimeSchema, Timeout } from "./records.ts";

const InlineRequestSchema = Strict({
  runtime: Type.Optional(RuntimeSchema),
  /** Source text, at most LIMITS.inlineSource. */
  code: Type.String({ minLength: 1 }),
  /** Name of the exported function; default "handler". */
  handler: Type.Optional(Type.String({ minLength: 1, maxLength: 128, pattern: "^[A-Za-z_$][A-Za-z0-9_$.]*$" })),
  /** What the handler gets; default null. */
  event: Type.Optional(Type.Unknown()),
  memoryMb: Type.Optional(Memory),
  timeoutMs: Type.Optional(Timeout),
});
export type InlineRequest = Static<typeof InlineRequestSchema>;
export const inlineRequest = checked(InlineRequestSchema);
