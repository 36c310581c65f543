/**
 * Stacks of bundled code back to the developer's files and lines.
 * Stack and map come from functions and deploys: whatever they hold, the answer is a text, bounded, and nothing throws.
 */
import { originalPositionFor, TraceMap } from "@jridgewell/trace-mapping";
import { LIMITS } from "../../../protocol/limits.ts";
import { shown } from "../bundle/bundle.ts";

/** The name that the runtime gives a bundle. Its wrapper shifts no column: line 1 of a bundle holds no user code. */
const PLACE = /function\.cjs:(\d{1,9}):(\d{1,9})/g;
const LINES = 200;

/** Decoded once as long as somebody holds the bytes; null for a map that is none. */
const decoded = new WeakMap<Uint8Array, TraceMap | null>();

/**
 * The same stack with `function.cjs:LINE:COLUMN` replaced by file:line:column of the sources, without the frames of
 * the runtime and of Node's inside. Places that the map does not know stay as they are.
 */
export function mapStack(stack: string, map: Uint8Array): string {
  const trace = decode(map);
  const lines: string[] = [];
  const all = (stack.length > LIMITS.stack.value ? stack.slice(0, LIMITS.stack.value) : stack).split("\n");
  for (const line of all.slice(0, LINES)) {
    const mapped = isFrame(line) ? frame(line, trace) : line;
    if (mapped !== undefined) lines.push(mapped);
  }
  return lines.join("\n");
}

function isFrame(line: string): boolean {
  return /^\s{1,20}at /.test(line);
}

/** Undefined for a frame that tells the developer nothing. */
function frame(line: string, trace: TraceMap | null): string | undefined {
  if (!line.includes("function.cjs:")) {
    // All user code is in the bundle, so a frame in another file is the runtime's.
    return line.includes("node:internal") || /(\(|at (async )?)(file:\/\/)?\/[^()]*\.[cm]?js:\d+:\d+\)?$/.test(line) ? undefined : line;
  }
  let known = false;
  const mapped = line.replace(PLACE, (place, row: string, column: string) => {
    const found = trace === null ? undefined : find(trace, Number(row), Number(column));
    if (found !== undefined) known = true;
    return found ?? place;
  });
  // What esbuild added around the code is in no source: __require, __name and the like.
  return trace !== null && !known && /^\s+at (Object\.)?__\w+ /.test(line) ? undefined : mapped;
}

function find(trace: TraceMap, line: number, column: number): string | undefined {
  if (line < 1 || column < 1) return undefined;
  try {
    const found = originalPositionFor(trace, { line, column: column - 1 });
    return found.source === null ? undefined : `${shown(found.source)}:${found.line}:${found.column + 1}`;
  } catch {
    return undefined;
  }
}

function decode(map: Uint8Array): TraceMap | null {
  const known = decoded.get(map);
  if (known !== undefined) return known;
  const made = read(map);
  decoded.set(map, made);
  return made;
}

function read(map: Uint8Array): TraceMap | null {
  if (map.length === 0 || map.length > LIMITS.sourceMap.value) return null;
  try {
    const { version, sources, names, mappings } = JSON.parse(Buffer.from(map.buffer, map.byteOffset, map.length).toString()) as Record<
      string,
      unknown
    >;
    // Decoding costs many times the length of the text, so the length is what is bounded.
    if (version !== 3 || typeof mappings !== "string" || mappings.length > LIMITS.mappings.value) return null;
    if (!Array.isArray(sources) || !sources.every((source) => source === null || typeof source === "string")) return null;
    return new TraceMap({
      version,
      sources,
      mappings,
      names: Array.isArray(names) && names.every((name) => typeof name === "string") ? names : [],
    });
  } catch {
    return null;
  }
}
