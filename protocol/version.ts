/** The version of the package, for micro services and `pilot version`; a test compares it with package.json. */
export const VERSION = "0.1.0";

/**
 * The number of what crosses the wire: it rises with each release that adds to a message, header, subject or stored record.
 * Nodes of neighbouring numbers work side by side, which test/protocol/golden.test.ts holds to; wider apart is not promised.
 */
export const PROTOCOL = 2;

/** The first protocol that knows something which an earlier one would not refuse but misread. */
export const SINCE = { largeBodies: 2 } as const;

/** Whether a node of that number and one of ours work side by side. Undefined: a release that did not say its number, which was 1. */
export function understands(protocol: number | undefined): boolean {
  return Math.abs((protocol ?? 1) - PROTOCOL) <= 1;
}
