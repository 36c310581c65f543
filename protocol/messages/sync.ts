/** Keeping every node's picture of the registry at least as new as what an operator was told. */
import Type from "typebox";
import { request } from "../contract.ts";
import { SUBJECT } from "../subjects.ts";
import { AccountSchema, Count, FunctionSchema, PoolSchema, VersionSchema } from "./records.ts";

export const syncNode = request({
  name: "sync",
  subject: (node: string) => SUBJECT.node(node, "sync"),
  request: Type.Object({
    /** `account.function`; record null: removed. */
    function: Type.Optional(Type.Object({ key: Type.String(), revision: Count, record: Type.Union([FunctionSchema, Type.Null()]) })),
    /** record null: removed. */
    account: Type.Optional(Type.Object({ key: Type.String(), revision: Count, record: Type.Union([AccountSchema, Type.Null()]) })),
    /** To schedulers: the version that was just deployed, so that its first call waits for no read. */
    version: Type.Optional(VersionSchema),
    /** To hosts: all pool targets. */
    pools: Type.Optional(Type.Array(PoolSchema)),
  }),
  reply: Type.Object({}),
  timeoutMs: 2_000,
  meaning:
    "Applies a change before answering. A scheduler first recalls the grants that the change makes void; a host first removes warm instances that are too many.",
});
