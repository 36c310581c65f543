/**
 * The only file that spells a subject. Two trees: `pilot.>` is public, `_pilot.>` is ours (law 9).
 * From here come the subjects of every message, the permissions of every role, and docs/subjects.md.
 */
import { isAlias, isName, isVersion } from "./names.ts";

/** The queue group that answers public calls: all frontends, and hosts with a grant. */
export const DESK = "desk";
/** The queue group of frontends for calls that a direct host hands on. */
export const FRONTENDS = "frontends";
/** The queue group of schedulers for control services. */
export const SCHEDULERS = "schedulers";

export const SUBJECT = {
  // public
  fn: (account: string, name: string, qualifier?: string): string =>
    qualifier === undefined ? `pilot.fn.${account}.${name}` : `pilot.fn.${account}.${name}.${qualifier}`,
  fnAll: "pilot.fn.>",
  inline: (account: string): string => `pilot.inline.${account}`,
  inlineAll: "pilot.inline.>",
  /** One part of a body too large for a message, under an id that only its owner knows: stored before the call, read after the reply. */
  bodyPart: (account: string, verb: "put" | "get" | "drop", id: string, part: number): string =>
    `pilot.body.${account}.${verb}.${id}.${part}`,
  bodyAll: "pilot.body.>",
  /** A caller ends its own call; the body is the subject on which it waits for the reply. */
  cancel: (account: string): string => `pilot.cancel.${account}`,
  cancelAll: "pilot.cancel.*",
  /** Where `context.publish(subject)` of a function of that account goes. */
  pub: (account: string, subject: string): string => `pilot.pub.${account}.${subject}`,
  // calls on their way
  host: (host: string): string => `_pilot.host.${host}`,
  keeper: (scheduler: string): string => `_pilot.keeper.${scheduler}`,
  desk: "_pilot.desk",
  /** The desk of one frontend alone, for operators who try each. */
  ownDesk: (frontend: string): string => `_pilot.node.${frontend}.desk`,
  back: (node: string, number: number, hop: number, reply: string): string => `_pilot.back.${node}.${number}.${hop}.${reply}`,
  backAll: (node: string): string => `_pilot.back.${node}.>`,
  report: (node: string): string => `_pilot.report.${node}`,
  // who is there
  announce: (role: Role, node: string): string => `_pilot.announce.${role}.${node}`,
  announceAll: (role: Role): string => `_pilot.announce.${role}.*`,
  // control
  agent: (host: string, verb: string): string => `_pilot.agent.${host}.${verb}`,
  node: (node: string, verb: string): string => `_pilot.node.${node}.${verb}`,
  service: (service: string, verb: string): string => `_pilot.service.${service}.${verb}`,
  // records
  calls: (host: string): string => `_pilot.calls.${host}`,
  callsAll: "_pilot.calls.>",
  logs: (account: string, name: string): string => `_pilot.logs.${account}.${name}`,
  logsAll: "_pilot.logs.>",
} as const;

/** Roles of nodes: what a node process may be. */
export const NODE_ROLES = ["scheduler", "frontend", "host", "gateway"] as const;
export type NodeRole = (typeof NODE_ROLES)[number];
/** Whoever holds a credential of the broker. */
export type Role = NodeRole | "operator" | "anonymous";

/** The public subjects: what anybody who may call functions at all may publish to. */
const CALLERS = ["pilot.fn.>", "pilot.inline.>", "pilot.body.>", "pilot.cancel.>"];

/** What a public call subject names, or why it names nothing. */
export type CallTarget =
  | { readonly ok: true; readonly account: string; readonly name: string; readonly qualifier: string | undefined }
  | { readonly ok: false; readonly reason: string };

/** Reads `pilot.fn.<account>.<function>[.<qualifier>]`; everything after `pilot.fn.` is the caller's and hostile. */
export function parseCallSubject(subject: string): CallTarget {
  const parts = subject.split(".");
  if (parts.length < 4 || parts.length > 5) {
    return { ok: false, reason: "a call subject is pilot.fn.<account>.<function>[.<alias or version>]" };
  }
  const [, , account = "", name = "", qualifier] = parts;
  if (!isName(account)) return { ok: false, reason: "the account in the subject is not a name" };
  if (!isName(name)) return { ok: false, reason: "the function in the subject is not a name" };
  if (qualifier !== undefined && !isAlias(qualifier) && !isVersion(qualifier)) {
    return { ok: false, reason: "the qualifier in the subject is neither an alias nor a version" };
  }
  return { ok: true, account, name, qualifier };
}

const INBOX = /^(?:_INBOX|_R_)\.[^\s*>]+$/;

/** True for a reply subject that may be answered: under `_INBOX.` or `_R_.`, at most `limit` bytes, no wildcard or empty token. */
export function isAnswerable(reply: string, limit: number): boolean {
  return reply.length <= limit && INBOX.test(reply) && !reply.includes("..") && !reply.endsWith(".");
}

/**
 * How a caller says, at no cost on the way, that it can redeem a claim check for a large result: by the last token but one of its
 * reply subject, `<inbox>.claim.<n>`.
 */
export const claimInbox = (inbox: string): string => `${inbox}.claim`;

/** True for a reply subject whose owner can redeem a claim check. */
export function canRedeem(reply: string): boolean {
  const last = reply.lastIndexOf(".");
  return last > 6 && reply.endsWith(".claim", last) && last + 1 < reply.length;
}

export interface BackSubject {
  readonly node: string;
  readonly number: number;
  readonly hop: number;
  /** The caller's own reply subject; empty when the placer wants no answer sent. */
  readonly reply: string;
}

/** Reads `_pilot.back.<node>.<number>.<hop>.<reply>`; undefined when it is not one. */
export function parseBackSubject(subject: string): BackSubject | undefined {
  if (!subject.startsWith("_pilot.back.")) return undefined;
  const node = subject.indexOf(".", 12);
  const number = subject.indexOf(".", node + 1);
  const hop = subject.indexOf(".", number + 1);
  if (node < 0 || number < 0 || hop < 0) return undefined;
  return {
    node: subject.slice(12, node),
    number: Number(subject.slice(node + 1, number)),
    hop: Number(subject.slice(number + 1, hop)),
    reply: subject.slice(hop + 1),
  };
}

export interface Permissions {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

/** Reading streams, buckets and objects; no right to make, change or remove one. */
const READ = [
  "$JS.API.INFO",
  "$JS.API.STREAM.INFO.*",
  "$JS.API.STREAM.NAMES",
  "$JS.API.STREAM.MSG.GET.*",
  "$JS.API.DIRECT.GET.>",
  "$JS.API.CONSUMER.CREATE.>",
  "$JS.API.CONSUMER.DURABLE.CREATE.>",
  "$JS.API.CONSUMER.DELETE.>",
  "$JS.API.CONSUMER.INFO.>",
  "$JS.API.CONSUMER.MSG.NEXT.>",
  "$JS.ACK.>",
  "$JS.FC.>",
];
const ADMINISTER = ["$JS.API.>", "$JS.ACK.>", "$JS.FC.>", "$KV.>", "$O.>"];

/** Inboxes of nodes and operators, apart from callers' `_INBOX.`, so that no caller can listen in or be named as a reply. */
export const inboxOf = (role: Role, node: string): string => `_pilot.inbox.${role}.${node}`;

/**
 * What the broker allows a role's credential. `node` is the id of the node that holds it; `*` when one
 * credential serves all nodes of the role.
 */
export function permissionsOf(role: Role, node: string): Permissions {
  const own = [
    `_pilot.node.${node}.>`,
    `_pilot.back.${node}.>`,
    `_pilot.report.${node}`,
    `_pilot.inbox.${role}.>`,
    "_pilot.announce.*.*",
    "$SRV.>",
  ];
  // By which nodes of one id find each other.
  const who = `_pilot.node.${node}.who`;
  const replies = ["_INBOX.>", "_R_.>", "_pilot.inbox.>", "_pilot.back.>", "_pilot.report.*"];
  switch (role) {
    case "anonymous":
      return { publish: CALLERS, subscribe: ["_INBOX.>", "pilot.pub.>"] };
    case "gateway":
      return {
        publish: [
          ...CALLERS,
          who,
          "_pilot.inbox.operator.>",
          "_pilot.inbox.gateway.>",
          // Its answers when a scheduler asks for its metrics.
          "_pilot.inbox.scheduler.>",
          `_pilot.announce.gateway.${node}`,
          "_pilot.service.fleet.show",
          "_pilot.service.fleet.metrics",
          "_pilot.service.registry.function",
        ],
        subscribe: [...own, "_INBOX.gateway.>"],
      };
    case "operator":
      return { publish: [">"], subscribe: [">"] };
    case "frontend":
      return {
        publish: [
          ...replies,
          ...READ,
          who,
          "_pilot.host.*",
          "_pilot.keeper.*",
          `_pilot.announce.frontend.${node}`,
          "_pilot.service.fleet.cancel",
          "$O.pilot_inline.>",
          "$O.pilot_bodies.>",
        ],
        subscribe: [...own, SUBJECT.fnAll, SUBJECT.inlineAll, SUBJECT.bodyAll, SUBJECT.cancelAll, SUBJECT.desk],
      };
    case "scheduler":
      return {
        publish: [
          ...replies,
          ...ADMINISTER,
          "_pilot.host.*",
          "_pilot.keeper.*",
          "_pilot.agent.>",
          "_pilot.node.>",
          `_pilot.announce.scheduler.${node}`,
        ],
        subscribe: [...own, `_pilot.keeper.${node}`, "_pilot.service.>"],
      };
    case "host":
      return {
        publish: [
          ...replies,
          ...READ,
          who,
          "_pilot.keeper.*",
          SUBJECT.desk,
          `_pilot.announce.host.${node}`,
          `_pilot.calls.${node}`,
          "_pilot.logs.>",
          "pilot.pub.>",
          "$KV.pilot_data.>",
          "$O.pilot_bodies.>",
        ],
        subscribe: [...own, `_pilot.host.${node}`, SUBJECT.fnAll, `_pilot.agent.${node}.>`],
      };
  }
}
