/** The token that a gateway asks for. It is compared in constant time and never logged. */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { readFile } from "node:fs/promises";
import { Fault } from "../../protocol/errors.ts";

/** True when the value of an Authorization header has a token of the file. */
export type TokenCheck = (authorization: string | undefined) => boolean;

const SHORTEST = 16;

/** Reads a file with one token per line, of 16 visible characters or more. Rejects with Fault BadRequest. */
export async function readTokens(path: string): Promise<TokenCheck> {
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    throw new Fault("BadRequest", `the token file ${path} cannot be read: ${(error as NodeJS.ErrnoException).code ?? error}`);
  });
  const tokens = text.split(/\r?\n/).filter((line) => line !== "");
  if (tokens.length === 0) throw new Fault("BadRequest", `the token file ${path} is empty`);
  if (tokens.some((token) => token.length < SHORTEST || !/^[\u0021-\u007e]+$/.test(token)))
    throw new Fault("BadRequest", `the token file ${path} has a line that is no token: ${SHORTEST} visible characters or more`);
  const key = randomBytes(32);
  const digestOf = (token: string): Buffer => createHmac("sha256", key).update(token).digest();
  const known = tokens.map(digestOf);
  return (authorization) => {
    const given = digestOf(/^Bearer +([^\s]+) *$/i.exec(authorization ?? "")?.[1] ?? "");
    let isKnown = false;
    // Each is compared, whichever it is.
    for (const one of known) isKnown = timingSafeEqual(one, given) || isKnown;
    return isKnown;
  };
}
