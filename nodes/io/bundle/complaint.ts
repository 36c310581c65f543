/** Compiler messages as plain text: `file:line:column: what`, then the source line with a mark below the place. */

export interface Complaint {
  readonly what: string;
  readonly file?: string;
  /** From 1. */
  readonly line?: number;
  /** From 1, in characters. */
  readonly column?: number;
  /** The source line. */
  readonly text?: string;
}

const WIDTH = 160;

/** At most five complaints; long lines are cut around the place. */
export function complain(complaints: readonly Complaint[]): string {
  const shownOnes = complaints.slice(0, 5).map(one);
  if (complaints.length > 5) shownOnes.push(`and ${complaints.length - 5} more`);
  return shownOnes.join("\n");
}

function one({ what, file, line, column, text }: Complaint): string {
  const place = [file, line, column].filter((part) => part !== undefined).join(":");
  const head = place === "" ? what : `${place}: ${what}`;
  if (text === undefined || line === undefined || column === undefined) return head;
  const from = Math.max(0, Math.min(column - 1 - WIDTH / 2, text.length - WIDTH));
  const part = text.slice(from, from + WIDTH).replace(/[\p{Cc}\u2028\u2029]/gu, " ");
  const margin = `  ${line} | `;
  const mark = `${" ".repeat(margin.length - 2)}| ${" ".repeat(Math.max(0, Math.min(column - 1 - from, WIDTH)))}^`;
  return `${head}\n${margin}${part.trimEnd()}\n${mark}`;
}
