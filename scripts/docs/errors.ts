/** docs/errors.md, from protocol/errors.ts. */
import { type Culprit, ERRORS, type Retry } from "../../protocol/errors.ts";
import { code, GENERATED, table } from "./table.ts";

const FAULTS: Readonly<Record<Culprit, string>> = {
  caller: "The caller's request",
  function: "The function's code",
  platform: "The platform",
};

const RETRIES: Readonly<Record<Retry, string>> = {
  no: "the same call fails again",
  elsewhere: "another place may do it: call again",
  later: "call again later",
};

export function errorsDocument(): string {
  const sections = Object.entries(FAULTS).map(([fault, title]) => {
    const rows = Object.entries(ERRORS).filter(([, row]) => row.fault === fault);
    return `## ${title}\n\n${table(
      ["`Pilot-Error`", "code", "what happened", "retry", "what to do"],
      rows.map(([name, row]) => [code(name), String(row.code), row.meaning, row.retry, row.cure]),
    )}`;
  });
  return `# Errors

${GENERATED}

The table is closed: every refusal and every failed call carries one of these names. A reply with an error has the headers
\`Nats-Service-Error-Code\` (the number below, HTTP-like), \`Nats-Service-Error\` (what happened to what, in words) and \`Pilot-Error\`
(the name). Names are never reused. \`fault\` says who has to act, \`retry\` whether the same call may succeed:

${Object.entries(RETRIES)
  .map(([name, meaning]) => `- ${code(name)}: ${meaning}.`)
  .join("\n")}

${sections.join("\n\n")}
`;
}
