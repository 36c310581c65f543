/** What a reply says of failure. */
import type { Message } from "../../actors/kit/bus.ts";

export const failureOf = (message: Message): { error: string | undefined; message: string } =>
  message.status === 503
    ? { error: "503", message: "nobody answers the subject" }
    : { error: message.header("Pilot-Error"), message: message.header("Nats-Service-Error") ?? "" };
