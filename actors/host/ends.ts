/** Why a run ended without a result, in the words of the error table. Pure. */
import { Fault } from "../../protocol/errors.ts";
import type { EndCause } from "../instance/sandbox.ts";

/** Characters of a dead container's own output that its error quotes. */
const QUOTED = 2_048;

/** The error for a call, or a load, in the middle of which its container ended by itself. */
export function faultOfEnd(cause: EndCause, output: string, memoryMb: number): Fault {
  const said = output.trim() === "" ? "" : `; it last wrote: ${output.trim().slice(-QUOTED)}`;
  switch (cause.kind) {
    case "outOfMemory":
      return new Fault("OutOfMemory", `the function used more than its ${memoryMb} MB of memory`);
    case "exited":
      return new Fault("Crashed", `the function's process ended with exit code ${cause.code}${said}`);
    case "signalled":
      return new Fault("Crashed", `the function's process was ended by the signal ${cause.signal}${said}`);
    case "protocol":
      return new Fault("Crashed", `the function's container broke the rules of its channel and was ended: ${cause.detail}${said}`);
    case "spawnerLost":
      return new Fault("InstanceLost", "the process that holds the host's containers died, and the call with it");
    case "stopped":
      return new Fault("InstanceLost", "the container was stopped while the call ran");
  }
}
