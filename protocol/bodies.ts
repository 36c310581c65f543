/**
 * Bodies too large for a message. They travel in parts through an object store; the message carries a claim check:
 * `Pilot-Body: <id>;<parts>;<bytes>;<sha256>`. Whoever knows the id of an account's body may read and remove it, so ids
 * are 32 hexadecimal characters of chance.
 */
import { BODY_LIMIT, LIMITS } from "./limits.ts";
import { isName } from "./names.ts";

/** A body that is in the store. */
export interface BodyRef {
  readonly id: string;
  /** Always `partsOf(bytes)`. */
  readonly parts: number;
  readonly bytes: number;
  /** Of the whole, 64 hexadecimal characters. */
  readonly sha256: string;
}

export const BODY_HEADER = "Pilot-Body";

const PART = LIMITS.bodyPart.value;
const MOST_PARTS = Math.ceil(LIMITS.largeBody.value / PART);
const ID = /^[0-9a-f]{32}$/;
const FORM = /^([0-9a-f]{32});([1-9][0-9]{0,3});([1-9][0-9]{0,8});([0-9a-f]{64})$/;

/** Parts of a body of that many bytes, each but the last of LIMITS.bodyPart. */
export const partsOf = (bytes: number): number => Math.ceil(bytes / PART);

/** Where a part begins and ends in its body. */
export function partRange(bytes: number, part: number): { readonly from: number; readonly to: number } {
  return { from: part * PART, to: Math.min(bytes, (part + 1) * PART) };
}

/** The value of `Pilot-Body`. */
export const formatBody = ({ id, parts, bytes, sha256 }: BodyRef): string => `${id};${parts};${bytes};${sha256}`;

/** Reads a value of `Pilot-Body`, which is hostile; undefined when it is malformed, too large, or its numbers contradict each other. */
export function parseBody(text: string): BodyRef | undefined {
  const match = FORM.exec(text);
  if (match === null) return undefined;
  const [, id = "", parts, bytes, sha256 = ""] = match;
  const ref = { id, parts: Number(parts), bytes: Number(bytes), sha256 };
  return ref.bytes <= LIMITS.largeBody.value && ref.parts === partsOf(ref.bytes) ? ref : undefined;
}

export const BODY_VERBS = ["put", "get", "drop"] as const;
export type BodyVerb = (typeof BODY_VERBS)[number];

export interface BodyTarget {
  readonly account: string;
  readonly verb: BodyVerb;
  readonly id: string;
  /** For put and get the number of a part, for drop how many there are. */
  readonly part: number;
}

/** Reads `pilot.body.<account>.<verb>.<id>.<part>`, or says why it names nothing. */
export function parseBodySubject(subject: string): BodyTarget | string {
  const [, , account = "", verb = "", id = "", part = "", ...rest] = subject.split(".", 7);
  if (rest.length > 0) return "a part of a body is pilot.body.<account>.put|get|drop.<id>.<part>";
  if (!isName(account)) return "the account in the subject is not a name";
  if (!(BODY_VERBS as readonly string[]).includes(verb)) return "parts of bodies are put, got and dropped";
  if (!ID.test(id)) return "the id of a body is 32 hexadecimal characters";
  const number = /^(?:0|[1-9][0-9]{0,3})$/.test(part) ? Number(part) : Number.NaN;
  const isDrop = verb === "drop";
  if (!(isDrop ? number >= 1 && number <= MOST_PARTS : number < MOST_PARTS)) return `a body has at most ${MOST_PARTS} parts`;
  return { account, verb: verb as BodyVerb, id, part: number };
}

/** What somebody is told who sends more than fits into a message, and could have sent it in parts. */
export const tooLargeFor = (bytes: number): string =>
  `the body has ${bytes} bytes, at most ${BODY_LIMIT} fit into a call; pilot invoke and the client of this package send up to ${LIMITS.largeBody.value} in parts, others send a reference to an object of their own`;
