/**
 * What has changed between the schema of an earlier release and the present one, as far as a node of one of them would
 * refuse or misread the other's messages. A field that came as an optional one is no difference.
 */
import type { Shape } from "./shape.ts";

export interface Difference {
  /** Where in the message; "" is the whole. */
  readonly path: string;
  /** What changed, who suffers, and what to do. */
  readonly sentence: string;
}

const KEEP = "Keep it as it was, and add a new optional field beside it.";

/** In the order of the earlier schema. */
export function differences(before: Shape, now: Shape, path = ""): Difference[] {
  const at = path === "" ? "the message" : path;
  const differs = (sentence: string): Difference[] => [{ path, sentence: `${at} ${sentence}` }];
  if (before.anyOf !== undefined || now.anyOf !== undefined) return ofAlternatives(before, now, path, differs);
  if (before.type !== now.type || before.const !== now.const)
    return differs(`was ${nameOf(before)} and is ${nameOf(now)}: nodes of the two releases refuse each other's. ${KEEP}`);
  const found: Difference[] = [];
  for (const bound of ["pattern", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems", "maxProperties"] as const)
    if (before[bound] !== now[bound])
      found.push(
        ...differs(
          `had ${bound} ${before[bound] ?? "none"} and has ${now[bound] ?? "none"}: what one release accepts the other refuses. Keep the bound, or check the new one where the value is made.`,
        ),
      );
  if (before.items !== undefined) found.push(...differences(before.items, now.items ?? {}, `${path}[]`));
  for (const [pattern, inner] of Object.entries(before.patternProperties ?? {})) {
    const others = now.patternProperties?.[pattern];
    if (others === undefined) found.push(...differs(`no longer has keys of the form ${pattern}. ${KEEP}`));
    else found.push(...differences(inner, others, `${path}.*`));
  }
  if (before.additionalProperties !== false && now.additionalProperties === false)
    found.push(...differs("is strict now: what a later release adds would be refused. Let unknown fields pass."));
  return [...found, ...ofFields(before, now, path)];
}

/** Optional fields that the present schema has and the earlier one refuses, because it refuses what it does not know: paths. */
export function refusedFields(before: Shape, now: Shape, path = ""): string[] {
  const found: string[] = [];
  const inner = (name: string): string => (path === "" ? name : `${path}.${name}`);
  for (const [name, shape] of Object.entries(now.properties ?? {})) {
    const known = before.properties?.[name];
    if (known !== undefined) found.push(...refusedFields(known, shape, inner(name)));
    else if (before.additionalProperties === false) found.push(inner(name));
  }
  if (before.items !== undefined && now.items !== undefined) found.push(...refusedFields(before.items, now.items, `${path}[]`));
  return found;
}

function ofFields(before: Shape, now: Shape, path: string): Difference[] {
  const found: Difference[] = [];
  const inner = (name: string): string => (path === "" ? name : `${path}.${name}`);
  const had = new Set(before.required);
  const has = new Set(now.required);
  for (const [name, shape] of Object.entries(before.properties ?? {})) {
    const others = now.properties?.[name];
    const add = (sentence: string): unknown => found.push({ path: inner(name), sentence: `${inner(name)} ${sentence}` });
    if (others === undefined) {
      add("is gone: nodes of the release before still send it or count on it. Keep reading and writing it for one more release.");
      continue;
    }
    if (had.has(name) && !has.has(name))
      add("may be left out now, and nodes of the release before refuse the message without it. Keep it required for one more release.");
    if (!had.has(name) && has.has(name))
      add("must be there now, and nodes of the release before leave it out. Make it optional and say what its absence means.");
    found.push(...differences(shape, others, inner(name)));
  }
  for (const name of has)
    if (before.properties?.[name] === undefined)
      found.push({
        path: inner(name),
        sentence: `${inner(name)} is new and must be there: nodes of the release before do not send it. Make it optional and say what its absence means.`,
      });
  return found;
}

/** A value may be one of several: each has to be known to both. */
function ofAlternatives(before: Shape, now: Shape, path: string, differs: (sentence: string) => Difference[]): Difference[] {
  const [had, has] = [before, now].map(({ anyOf, ...alone }) => anyOf ?? [alone]) as [readonly Shape[], readonly Shape[]];
  const texts = (shapes: readonly Shape[]): Set<string> => new Set(shapes.map((shape) => JSON.stringify(shape)));
  const lost = had.filter((shape) => !texts(has).has(JSON.stringify(shape)));
  const added = has.filter((shape) => !texts(had).has(JSON.stringify(shape)));
  const [one, other] = [lost[0], added[0]];
  // The same alternative with something changed within.
  if (lost.length === 1 && added.length === 1 && one?.type === other?.type && one?.const === undefined && one !== undefined && other)
    return differences(one, other, path);
  return [
    ...lost.flatMap((shape) =>
      differs(`may no longer be ${nameOf(shape)}: a node of the release before may send it. Accept it for one more release.`),
    ),
    ...added.flatMap((shape) =>
      differs(
        `may also be ${nameOf(shape)}: a node of the release before refuses the whole message. Say it in a new optional field, or send it only to nodes that asked for it.`,
      ),
    ),
  ];
}

function nameOf(shape: Shape): string {
  return shape.const === undefined ? (shape.type ?? "anything") : JSON.stringify(shape.const);
}
