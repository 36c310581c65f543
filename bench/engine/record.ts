/** docs/benchmarks.md: the last answer to each question, kept until the question is asked again. */
import { readFile, writeFile } from "node:fs/promises";

const HEADING = `# Benchmarks

Written by \`npm run bench -- all --write\`; each section is the last run of one question. Ratios are taken within each
round, between measurements a few hundred milliseconds apart, and their median is shown: on a shared machine absolute
times move by a factor of two from minute to minute, ratios by a tenth. Gates and goals are in bench/engine/targets.ts.
`;

/** Puts sections (by name, each beginning with \`## name\`) into the text; others stay. The order is that of \`names\`. Pure. */
export function withSections(text: string, names: readonly string[], fresh: ReadonlyMap<string, string>): string {
  const sections = new Map<string, string>();
  for (const part of text.split(/^(?=## )/m)) {
    const name = /^## (\S+)/.exec(part)?.[1];
    if (name !== undefined) sections.set(name, part.trimEnd());
  }
  for (const [name, section] of fresh) sections.set(name, section.trimEnd());
  const known = names.flatMap((name) => sections.get(name) ?? []);
  return `${[HEADING.trimEnd(), ...known].join("\n\n")}\n`;
}

/** The same for the file; a missing one is made. */
export async function writeRecord(path: string, names: readonly string[], fresh: ReadonlyMap<string, string>): Promise<void> {
  const before = await readFile(path, "utf8").catch(() => "");
  await writeFile(path, withSections(before, names, fresh));
}
