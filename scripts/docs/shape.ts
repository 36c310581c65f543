/** A schema as one line of text, close to a TypeScript type. Shapes that several messages share go by their name. */
import type { TSchema } from "typebox";
import { ContainerSchema, FunctionCountersSchema, HostSchema, InstanceSchema } from "../../protocol/messages/fleet.ts";
import * as records from "../../protocol/messages/records.ts";

interface JsonSchema {
  readonly type?: string;
  readonly const?: unknown;
  readonly anyOf?: readonly JsonSchema[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly patternProperties?: Readonly<Record<string, JsonSchema>>;
  readonly items?: JsonSchema;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
}

/** The shared shapes, without `Schema` at the end of their names; a record that would then be called like one of its fields ends in `Record`. */
export const SHARED: readonly { readonly name: string; readonly schema: TSchema }[] = Object.entries({
  ...records,
  ContainerSchema,
  InstanceSchema,
  FunctionCountersSchema,
  HostSchema,
})
  .map(([name, schema]) => ({ name: name.replace(/Schema$/, name.slice(0, -6) in records ? "Record" : ""), schema: schema as TSchema }))
  .filter(({ schema }) => typeof schema === "object");

const names = new Map(SHARED.map(({ name, schema }) => [JSON.stringify(schema), name]));

/** `whole`: spell the schema itself out even when it has a name. */
export function shape(schema: TSchema, whole = false): string {
  return text(schema as JsonSchema, whole);
}

function text(schema: JsonSchema, whole = false): string {
  const name = whole ? undefined : names.get(JSON.stringify(schema));
  if (name !== undefined) return name;
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.anyOf !== undefined) return schema.anyOf.map((one) => text(one)).join(" | ");
  switch (schema.type) {
    case "object":
      return object(schema);
    case "array":
      return `[${schema.items === undefined ? "" : text(schema.items)}]${range(schema.minItems, schema.maxItems, " of ")}`;
    case "string":
      return schema.pattern === undefined ? `string${range(schema.minLength, schema.maxLength, " of ")}` : `/${schema.pattern}/`;
    case "integer":
    case "number":
      return `${schema.type}${range(schema.minimum, schema.maximum, " ")}`;
    default:
      return schema.type ?? "anything";
  }
}

function object({ properties = {}, required = [], patternProperties }: JsonSchema): string {
  const [values] = Object.values(patternProperties ?? {});
  if (values !== undefined) return `{ [name]: ${text(values)} }`;
  const fields = Object.entries(properties).map(([name, field]) => `${name}${required.includes(name) ? "" : "?"}: ${text(field)}`);
  return fields.length === 0 ? "{}" : `{ ${fields.join(", ")} }`;
}

function range(least: number | undefined, most: number | undefined, before: string): string {
  if (least === undefined && most === undefined) return "";
  if (most === undefined) return `${before}≥ ${least}`;
  return `${before}${least ?? 0}–${most}`;
}
