/** docs/subjects.md, from protocol/subjects.ts, headers.ts and every contract of protocol/messages/. */
import { CALL_HEADERS, REPLY_HEADERS } from "../../protocol/headers.ts";
import { CONTRACTS } from "../../protocol/messages/index.ts";
import { inlineRequest } from "../../protocol/messages/inline.ts";
import { NODE_ROLES, permissionsOf, type Role, SUBJECT } from "../../protocol/subjects.ts";
import { SHARED, shape } from "./shape.ts";
import { code, GENERATED, table } from "./table.ts";

const ROLES: readonly Role[] = ["anonymous", "operator", "gateway", "frontend", "scheduler", "host"];

/** What each row of SUBJECT is for. A row without a sentence does not compile. */
const MEANINGS: Readonly<Record<keyof typeof SUBJECT, string>> = {
  fn: "A call: the body is the event, the reply is the result. Without a qualifier it goes to the alias `live`.",
  fnAll:
    "Where frontends listen for calls (queue group `desk`); a host with a grant listens on the function's own subject in the same group.",
  inline: "A call with its code in the request.",
  inlineAll: "Where frontends listen for such calls.",
  bodyPart: "One part of a body that is too large for a message (a claim check): put before the call, got after the reply.",
  bodyAll: "Where frontends listen for parts of bodies (queue group `frontends`).",
  cancel: "A caller ends its own call: the body is the subject on which it waits for the reply.",
  cancelAll: "Where frontends listen for that (queue group `frontends`).",
  pub: "Where `context.publish(subject, …)` of a function of that account goes.",
  host: "A placed call on its way to a host. Left only at exit.",
  keeper: "A call on its way to the waiting room of its function.",
  desk: "A public call that a host hands to any frontend (queue group `frontends`), and a call made by a running function.",
  ownDesk: "A call that an operator hands to one frontend, to see whether that one works.",
  back: "Reply subject of a placed call. The host strips the prefix and answers the caller; refusals and 503s come here.",
  backAll: "Where a placer listens for refusals. Never a queue subscription: those get no 503.",
  report: "Batches of calls that a host has taken and finished.",
  announce: "A node says that it lives and what it has.",
  announceAll: "Announcements of one role.",
  agent: "Orders and questions to one host.",
  node: "Changes of the registry that a node has to apply before an operator gets the answer.",
  service: "Control services, answered by any scheduler (queue group `schedulers`).",
  calls: "Records of finished calls, kept in the stream `PILOT_CALLS`.",
  callsAll: "All of them.",
  logs: "Log lines of one function, kept in the stream `PILOT_LOGS`.",
  logsAll: "All of them.",
};

export function subjectsDocument(): string {
  return `# Subjects, headers and messages

${GENERATED}

Two trees: \`pilot.>\` is public, \`_pilot.>\` is the platform's own. What a credential may do with either is in the last section; the
broker enforces it. Messages between nodes and from operators are msgpack maps; the body of a call is the caller's bytes, untouched.

## Subjects

${table(
  ["subject", "what it is for"],
  Object.entries(SUBJECT).map(([name, row]) => [
    code(written(row).replace(".<qualifier>", "[.<qualifier>]")),
    MEANINGS[name as keyof typeof SUBJECT],
  ]),
)}

## Headers of a call

A call needs none. A call with a header that is not *direct* is placed by a frontend even where a host could answer it. Unknown
\`Pilot-\` headers are refused with \`BadHeader\`.

${table(
  ["header", "form", "direct", "meaning"],
  Object.entries(CALL_HEADERS).map(([name, row]) => [code(name), row.form, row.direct ? "yes" : "no", row.meaning]),
)}

## Headers of a reply

Errors always carry theirs; the others come with \`Pilot-Trace: 1\`.

${table(
  ["header", "meaning"],
  Object.entries(REPLY_HEADERS).map(([name, meaning]) => [code(name), meaning]),
)}

## Code inside a request

The body on \`pilot.inline.<account>\` is JSON: ${code(shape(inlineRequest.schema))}. The reply is that of the code.

## Messages

Who may send and hear a message follows from the permissions. The operator may do both and is named only where nobody else may.

${messages()}

## Shapes that messages share

${table(
  ["name", "shape"],
  SHARED.map(({ name, schema }) => [code(name), code(shape(schema, true))]),
)}

## Permissions

What the broker allows each role; \`<node>\` is the id of the node that holds the credential. Beside
this the broker that we start denies everybody but the operator the inbox \`_INBOX.operator.>\`, and all but the operator and the gateways \`_INBOX.gateway.>\`.

${ROLES.map(permissions).join("\n\n")}
`;
}

function messages(): string {
  return CONTRACTS.map(({ file, contract }) => {
    const subject = written(contract.subject);
    const who = (verb: "publish" | "subscribe"): string =>
      NODE_ROLES.filter((role) => permissionsOf(role, "<node>")[verb].some((pattern) => covers(pattern, subject))).join(", ") ||
      "the operator";
    const body =
      contract.kind === "request"
        ? [
            `- request: ${code(shape(contract.request.schema))}`,
            `- reply: ${code(shape(contract.reply.schema))}`,
            `- the asker waits ${contract.timeoutMs} ms`,
          ]
        : [`- event: ${code(shape(contract.body.schema))}`];
    return `### ${contract.name}

${contract.meaning}

- ${code(subject)} (\`protocol/messages/${file}.ts\`); sent by ${who("publish")}; heard by ${who("subscribe")}
${body.join("\n")}`;
  }).join("\n\n");
}

function permissions(role: Role): string {
  const { publish, subscribe } = permissionsOf(role, "<node>");
  return `### ${role}\n\n- publish: ${publish.map(code).join(", ")}\n- subscribe: ${subscribe.map(code).join(", ")}`;
}

/** A subject with its parameters by name: `_pilot.host.<host>`. */
function written(subject: string | ((...words: never[]) => string)): string {
  if (typeof subject === "string") return subject;
  const names = /^\(?([^)=]*)\)?\s*=>/.exec(subject.toString())?.[1] ?? "";
  const words = names
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
  return subject(...(words.map((name) => `<${name}>`) as never[]));
}

/** Whether a permission covers a subject; a parameter stands for any word. */
function covers(pattern: string, subject: string): boolean {
  const wanted = subject.split(".");
  const given = pattern.split(".");
  for (const [index, token] of given.entries()) {
    if (token === ">") return index < wanted.length;
    const word = wanted[index];
    if (word === undefined || (token !== "*" && token !== word && !(word.startsWith("<") && !pattern.startsWith("$")))) return false;
  }
  return given.length === wanted.length;
}
