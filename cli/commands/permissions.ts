/** `pilot permissions`: what a NATS server that `pilot up` does not start needs in its configuration. */
import { permissionsOf, type Role } from "../../protocol/subjects.ts";
import { localCommand } from "../command.ts";
import { line } from "../context.ts";
import { JSON_FLAG } from "../flags.ts";
import { answer } from "../output.ts";

const ROLES: readonly Role[] = ["operator", "frontend", "scheduler", "host", "gateway", "anonymous"];

export const permissions = localCommand({
  brief: "Print the users and rights that a NATS server of yours needs for pilot up --server",
  details:
    "A part of a nats-server configuration with passwords made now. pilot up --server takes the operator's credential;\nthose of the roles are for nodes on machines of their own.",
  examples: ["pilot permissions > pilot.conf", "pilot permissions --json"],
  flags: JSON_FLAG,
  args: [],
  action: async (cli, flags) => {
    const { guestConfig } = await import("../../nodes/io/broker/config.ts");
    const rights = Object.fromEntries(ROLES.map((role) => [role, permissionsOf(role, "*")]));
    const password = (): string => Buffer.from(crypto.getRandomValues(new Uint8Array(24))).toString("base64url");
    const users = ROLES.map((role) => ({ user: role, password: password(), role, node: "*" }));
    await answer(cli, flags.json, rights, () => line(cli, guestConfig(users).trimEnd()));
  },
});
