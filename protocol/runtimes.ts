/** Names of the runtimes that functions may be written for; runtimes/index.ts says how each is started. */
export const RUNTIME_NAMES = ["node", "python"] as const;
export type RuntimeName = (typeof RUNTIME_NAMES)[number];
