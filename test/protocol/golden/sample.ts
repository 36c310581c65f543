/**
 * Messages made from their schema: one with every optional field, one with none, and one more for each further
 * alternative of a union. The values look like those of a real fleet, and are the same each time.
 */
import type { Shape } from "./shape.ts";

export interface Sample {
  /** Which of them it is. */
  readonly what: string;
  readonly value: unknown;
}

/** Texts by the name of their field. */
const TEXTS: Readonly<Record<string, string>> = {
  account: "main",
  agent: "host-1",
  by: "keeper-1",
  call: "0mfk2q8a1k3j9x0q17",
  chain: "main.make-thumbnails",
  code: "main.resize-image.3",
  container: "host-1-k3j9-i4-c2",
  coldCause: "scale-out",
  digest: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
  epoch: "k3j9x0q1aa2b",
  from: "host-1",
  function: "resize-image",
  gone: "host-1-k3j9-i2",
  handler: "handler",
  host: "host-1",
  instance: "host-1-k3j9-i4",
  keeper: "scheduler-1",
  key: "main.resize-image",
  longEnded: "0mfk2q8a1k3j9x0q12",
  name: "resize-image",
  node: "frontend-1",
  owner: "frontend-1",
  ownerEpoch: "q81mx3ko",
  reason: "an idle container has the code",
  reply: "_INBOX.Yq3kD0aW8bV4t1.7",
  runtimeVersion: "node 20.20.2",
  runtimeWanted: "node@20",
  text: "resized 3 images\n",
  traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
};
/** For fields of other names, and where the text above is not allowed: the first that fits. */
const OTHERS = ["resize-image", "live", "3", TEXTS["digest"] ?? "", "GREETING", ...repeated("a0A", 64)];
/** Keys of records by the name of their field. */
const KEYS: Readonly<Record<string, readonly string[]>> = {
  aliases: ["live", "canary"],
  classes: ["main.resize-image", "main.make-thumbnails"],
  counters: ["containers.reclaimed", "dropped.badReply"],
  environment: ["GREETING", "LOG_LEVEL"],
  failures: ["HandlerError", "TimedOut"],
  headers: ["Pilot-Trace", "traceparent"],
  rungs: ["hot", "cold"],
  runtimes: ["node", "python"],
  waiting: ["main.resize-image", "main.make-thumbnails"],
};

interface Order {
  /** Whether an optional field, a record or a list at this path is filled. */
  readonly isFull: (path: string) => boolean;
  /** Items of a list that is filled. */
  readonly items: number;
  /** Path of a union → which alternative; the first where nothing is said. */
  readonly chosen: ReadonlyMap<string, number>;
  /** Is told of each union that was met. */
  readonly met: Map<string, number>;
  /** What stands where anything may. */
  readonly anything: (field: string) => unknown;
}

/** All samples of a schema. `anything`: the value of a field whose schema allows whatever there is. */
export function samples(shape: Shape, anything: Order["anything"] = () => ({ width: 200 })): readonly Sample[] {
  const met = new Map<string, number>();
  const make = (isFull: Order["isFull"], items = 2, chosen: Order["chosen"] = new Map()): unknown =>
    sampleOf(shape, "", { isFull, items, chosen, met, anything });
  const made: Sample[] = [
    { what: "every field", value: make(() => true) },
    { what: "required fields only", value: make(() => false) },
  ];
  // Alternatives may hold unions of their own, which are met on the way; what does not lead to the union is left out.
  for (const [path, count] of met)
    for (let nth = 1; nth < count; nth++)
      made.push({
        what: `${path === "" ? "the message" : path}: alternative ${nth + 1}`,
        value: make((at) => path.startsWith(at), 1, new Map([[path, nth]])),
      });
  return made;
}

function sampleOf(shape: Shape, path: string, order: Order): unknown {
  const field = fieldOf(path);
  if (shape.const !== undefined) return shape.const;
  if (shape.anyOf !== undefined) {
    order.met.set(path, shape.anyOf.length);
    const chosen = shape.anyOf[order.chosen.get(path) ?? 0];
    return chosen === undefined ? null : sampleOf(chosen, path, order);
  }
  switch (shape.type) {
    case "object":
      return objectOf(shape, path, order);
    case "array": {
      const items = shape.items ?? {};
      const count = order.isFull(`${path}[]`) ? Math.min(order.items, shape.maxItems ?? order.items) : (shape.minItems ?? 0);
      // Unions within are the same for each item.
      return Array.from({ length: count }, () => sampleOf(items, `${path}[]`, order));
    }
    case "string":
      return textOf(shape, field);
    case "integer":
      return numberOf(shape, path);
    case "number":
      return field.endsWith("At") || field === "at" ? 1_790_000_000_000.25 : numberOf(shape, path) + 0.5;
    case "boolean":
      return order.isFull(path);
    case "null":
      return null;
    default:
      return order.anything(field);
  }
}

function objectOf(shape: Shape, path: string, order: Order): Record<string, unknown> {
  const made: Record<string, unknown> = {};
  const required = new Set(shape.required);
  for (const [name, inner] of Object.entries(shape.properties ?? {})) {
    const at = path === "" ? name : `${path}.${name}`;
    if (required.has(name) || order.isFull(at)) made[name] = sampleOf(inner, at, order);
  }
  if (!order.isFull(`${path}.*`)) return made;
  for (const [pattern, inner] of Object.entries(shape.patternProperties ?? {}))
    for (const key of (KEYS[fieldOf(path)] ?? ["first", "second"]).filter((one) => new RegExp(pattern).test(one)))
      made[key] = sampleOf(inner, `${path}.*`, order);
  return made;
}

/** Name of the field that a path ends in. */
function fieldOf(path: string): string {
  return /([A-Za-z]+)(?:\[\]|\.\*)*$/.exec(path)?.[1] ?? "";
}

function textOf({ pattern, minLength = 0, maxLength = Number.POSITIVE_INFINITY }: Shape, field: string): string {
  const fits = (text: string): boolean =>
    text.length >= minLength && text.length <= maxLength && (pattern === undefined || new RegExp(pattern).test(text));
  const named = TEXTS[field];
  const found = named !== undefined && fits(named) ? named : OTHERS.find(fits);
  if (found === undefined) throw new RangeError(`no sample fits the text ${field} (${pattern}): add one to TEXTS`);
  return found;
}

/** Different fields have different numbers, so that none is taken for another. */
function numberOf({ minimum = 0, maximum = Number.POSITIVE_INFINITY }: Shape, path: string): number {
  let hash = 7;
  for (const letter of path) hash = (hash * 31 + letter.charCodeAt(0)) % 9_973;
  return Math.min(maximum, Math.max(minimum, 1) + hash);
}

/** Each letter once, twice, and so on. */
function repeated(letters: string, most: number): string[] {
  return [...letters].flatMap((letter) => Array.from({ length: most }, (_, nth) => letter.repeat(nth + 1)));
}
