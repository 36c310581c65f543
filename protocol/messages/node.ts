/** What any node is asked, whatever its role. */
import Type from "typebox";
import { request } from "../contract.ts";
import { SUBJECT } from "../subjects.ts";
import { Id } from "./records.ts";

const Words = Type.String({ maxLength: 256 });

export const whoIs = request({
  name: "who",
  subject: (node: string) => SUBJECT.node(node, "who"),
  request: Type.Object({
    /** Of a node with this id itself, which makes sure that it is the only one: who it is, and for how long. */
    life: Type.Optional(Id),
    ageMs: Type.Optional(Type.Number()),
  }),
  reply: Type.Object({
    node: Id,
    role: Words,
    /** New at each start of the process. */
    life: Id,
    ageMs: Type.Number(),
    /** Release of Pilotlight. */
    version: Words,
    /** Name of the machine, and the process there. */
    machine: Words,
    pid: Type.Integer(),
    /** The broker's server that its control connection is on: its name, and its address. */
    server: Words,
    address: Words,
  }),
  timeoutMs: 2_000,
  meaning: "Who a node is, answered by every role; nodes of one id find each other by it, and the younger ends.",
});
