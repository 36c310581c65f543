/**
 * The client of Pilotlight for Node: what `import … from "pilotlight"` gives.
 *
 *     import { connect } from "pilotlight";
 *     const pilot = await connect();
 *     const greeting = await pilot.invoke("hello", { name: "you" });
 *     await pilot.close();
 */
export { connect } from "./connect.ts";
export { isPilotError, PilotError } from "./error.ts";
export type { CallOptions, ConnectOptions, InlineOptions, Progress, Status, Target } from "./options.ts";
export type { Pilot } from "./pilot.ts";
export type { Reply, Trace } from "./reply.ts";
