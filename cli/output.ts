/** How answers look: a table for people, JSON for programs. Values from outside are made printable first. */
import type { Cli } from "./context.ts";
import { line } from "./context.ts";
import { printable } from "./failure.ts";

export type Cell = string | number | boolean | undefined | null;

/** `--json` prints the value as it is; otherwise `show` prints it for people. */
export async function answer(cli: Cli, json: boolean, value: unknown, show: () => Promise<void> | void): Promise<void> {
  if (json) line(cli, JSON.stringify(value, undefined, cli.stdout.isTTY ? 2 : undefined));
  else await show();
}

/** A table with a head row and no frames; `nothing` is said when there are no rows. */
export function table(cli: Cli, head: readonly string[], rows: readonly (readonly Cell[])[], nothing: string): void {
  if (rows.length === 0) {
    line(cli, nothing);
    return;
  }
  line(cli, tableText(head, rows));
}

/** The table as text, for stdout and stderr alike. In time that grows with its size: a list may have ten thousand rows. */
export function tableText(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const grid = [...(head.length === 0 ? [] : [head]), ...rows.map((row) => row.map(shown))];
  const widths: number[] = [];
  for (const row of grid) for (const [column, text] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, displayWidth(text));
  return grid
    .map((row) =>
      row
        .map((text, column) => padded(text, widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function padded(text: string, width: number): string {
  return text + " ".repeat(width - displayWidth(text));
}

const PLAIN = /^[\x20-\x7e]*$/;
const NO_COLUMN = /[\p{Mark}\p{Default_Ignorable_Code_Point}]/u;
/** Letters of East Asia and signs that terminals draw over two columns. */
const TWO_COLUMNS = /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u;

/** Columns that a terminal needs for a text. */
function displayWidth(text: string): number {
  if (PLAIN.test(text)) return text.length;
  let width = 0;
  for (const letter of text) width += NO_COLUMN.test(letter) ? 0 : TWO_COLUMNS.test(letter) ? 2 : 1;
  return width;
}

/** The text in lines of at most `width` characters, broken at spaces where there are any. */
export function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}

/** Names and values under one another. */
export async function fields(cli: Cli, rows: readonly (readonly [string, Cell])[]): Promise<void> {
  const width = Math.max(...rows.map(([name]) => name.length));
  for (const [name, value] of rows) line(cli, `${name.padEnd(width)}  ${shown(value)}`);
}

function shown(cell: Cell): string {
  if (cell === undefined || cell === null || cell === "") return "-";
  return printable(String(cell)).replaceAll("\n", " ");
}

/** 1234567 → "1.2 MB"; for reading, not for reckoning. */
export function bytes(count: number): string {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let value = count;
  let unit = 0;
  while (value >= 1_000 && unit < units.length - 1) {
    value /= 1_000;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** Milliseconds as short as they can be said: 0.42 ms, 12 ms, 3.5 s, 2 m. */
export function milliseconds(value: number): string {
  if (value < 10) return `${value.toFixed(2)} ms`;
  if (value < 1_000) return `${value.toFixed(0)} ms`;
  if (value < 120_000) return `${(value / 1_000).toFixed(1)} s`;
  return `${(value / 60_000).toFixed(0)} m`;
}

/** 2026-01-31 17:05:09, in the user's zone. */
export function time(epoch: number): string {
  const at = new Date(epoch);
  if (Number.isNaN(at.getTime())) return "-";
  const two = (part: number): string => String(part).padStart(2, "0");
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}
