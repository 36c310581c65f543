/** docs/limits.md, from protocol/limits.ts. */
import { BODY_LIMIT, LIMITS, type Limit } from "../../protocol/limits.ts";
import { code, GENERATED, table } from "./table.ts";

const STEPS: Readonly<Record<Limit["unit"], readonly (readonly [size: number, name: string])[]>> = {
  ms: [
    [86_400_000, "days"],
    [3_600_000, "h"],
    [60_000, "min"],
    [1_000, "s"],
    [1, "ms"],
  ],
  bytes: [
    [1024 ** 3, "GiB"],
    [1024 ** 2, "MiB"],
    [1024, "KiB"],
    [1, "bytes"],
  ],
  MB: [[1, "MB"]],
  count: [[1, ""]],
};

/** The value in the largest unit that keeps it short: 2.5 s, 4 MiB. */
function amount(value: number, unit: Limit["unit"]): string {
  const [size, name] = STEPS[unit].find(([step]) => value >= step && Number.isInteger((value / step) * 10)) ?? [1, unit];
  return `${value / size} ${name}`.trim();
}

export function limitsDocument(): string {
  return `# Limits

${GENERATED}

Every queue, wait, retry and size has a row here and in \`protocol/limits.ts\`. Times count from the event that the row names.
A body may have ${BODY_LIMIT} bytes: ${code("brokerPayload")} without ${code("payloadReserve")}.

${table(
  ["limit", "value", "what is bounded, and what happens at the bound"],
  Object.entries(LIMITS).map(([name, { value, unit, meaning }]) => [code(name), amount(value, unit), meaning]),
)}
`;
}
