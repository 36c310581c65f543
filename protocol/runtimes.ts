/** Names of the runtimes that functions may be written for; runtimes/index.ts says how each is started. */
export const RUNTIME_NAMES = ["node", "python"] as const;
/** Runtimes that give back a call which they have not begun, while another runs: only those are sent calls ahead. */
export const GIVES_BACK: Readonly<Record<RuntimeName, boolean>> = { node: true, python: false };
export type RuntimeName = (typeof RUNTIME_NAMES)[number];
