/** `pilot call`: what became of one call, and the end of one that waits or runs. */
import { command, noun } from "../command.ts";
import { line, note } from "../context.ts";
import { EXIT } from "../failure.ts";
import { argument, JSON_FLAG } from "../flags.ts";
import { answer, bytes, fields, milliseconds, time } from "../output.ts";
import { ask } from "../platform.ts";
import { id } from "../values.ts";

const which = argument(id, "ID", "id of the call, as --trace and the logs show it");

const show = command({
  brief: "Show the record of a finished call",
  examples: ["pilot call show 4fk2m9x1", "pilot call show 4fk2m9x1 --json"],
  flags: JSON_FLAG,
  args: [which],
  action: async (cli, flags, callId) => {
    const { call } = await ask(cli, flags, (all) => all.showCall, { id: callId });
    const data = { ...call, waitedMs: call.startedAt - call.receivedAt, ranMs: call.endedAt - call.startedAt };
    await answer(cli, flags.json, data, () =>
      fields(cli, [
        ["call", call.id],
        ["function", `${call.account}.${call.function}${call.version === 0 ? " (inline)" : `@${call.version}`}`],
        ["outcome", call.error === undefined ? "success" : `${call.error}: ${call.message ?? ""}`],
        ["rung", call.rung],
        ["path", call.path],
        ["class", call.class],
        ["reason", call.reason],
        ["cold cause", call.coldCause],
        ["host", call.host],
        ["instance", call.instance],
        ["container", call.container],
        ["attempt", call.attempt],
        ["received", time(call.receivedAt)],
        ["waited", milliseconds(data.waitedMs)],
        ["ran", milliseconds(data.ranMs)],
        ["memory", call.memoryPeakBytes === undefined ? `${call.memoryMb} MB` : `${bytes(call.memoryPeakBytes)} of ${call.memoryMb} MB`],
        ["cpu", call.cpuMicroseconds === undefined ? undefined : milliseconds(call.cpuMicroseconds / 1_000)],
        ["in", bytes(call.bytesIn)],
        ["out", bytes(call.bytesOut)],
      ]),
    );
  },
});

const cancel = command({
  brief: "End a call that waits or runs",
  examples: ["pilot call cancel 4fk2m9x1"],
  flags: JSON_FLAG,
  args: [which],
  action: async (cli, flags, callId) => {
    const reply = await ask(cli, flags, (all) => all.cancelCall, { id: callId });
    await answer(cli, flags.json, reply, () =>
      (reply.cancelled ? line : note)(cli, reply.cancelled ? `${callId} cancelled` : `pilot: ${callId} neither waits nor runs`),
    );
    if (!reply.cancelled) cli.exitCode = EXIT.failed;
  },
});

export const call = noun("Single calls", ["pilot call show 4fk2m9x1", "pilot call cancel 4fk2m9x1"], { show, cancel });
