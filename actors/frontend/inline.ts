/** Code inside the request (F002): `pilot.inline.<account>` with a JSON body; nothing is registered. */
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { type InlineRequest, inlineRequest } from "../../protocol/messages/inline.ts";
import { isName } from "../../protocol/names.ts";

/** Reads account and body. Throws BadName, BadRequest or PayloadTooLarge. */
export function readInline(subject: string, body: Uint8Array): { account: string; request: InlineRequest } {
  const [, , account = "", ...rest] = subject.split(".");
  if (rest.length > 0 || !isName(account)) throw new Fault("BadName", "the subject for code in the request is pilot.inline.<account>");
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    throw new Fault("BadRequest", 'the body must be JSON: {"runtime": "node", "code": "…", "event": …}');
  }
  const request = inlineRequest.parse(value);
  if (request.code.length > LIMITS.inlineSource.value) {
    throw new Fault(
      "PayloadTooLarge",
      `the source has ${request.code.length} characters, at most ${LIMITS.inlineSource.value} are allowed in a request; deploy it instead`,
      { limit: "inlineSource" },
    );
  }
  return { account, request };
}
