/** The contracts that commands use, in one place so that they are loaded at once and only when a command connects. */
export * from "../protocol/messages/fleet.ts";
export { cordonHost, drainHost } from "../protocol/messages/host.ts";
export * from "../protocol/messages/inspect.ts";
export * from "../protocol/messages/metrics.ts";
export * from "../protocol/messages/registry.ts";
