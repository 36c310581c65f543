/** docs/requirements.md: which tests cover which row, from the row ids at the start of test titles. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { GENERATED, table } from "./table.ts";

interface Requirement {
  readonly id: string;
  /** Put first where two rows pull against each other. */
  readonly first: boolean;
  readonly text: string;
}

interface Chapter {
  readonly title: string;
  readonly rows: readonly Requirement[];
}

/** Ids at the start of a string, then the rest of the sentence. */
const TITLE = /(["'`])((?:F\d{3}[,/ ]+(?:and )?)+)((?:(?!\1)[^\n\\]|\\.)*)\1/g;

/** Id → `file: title` of each test whose title begins with it. */
export async function coverage(root: string): Promise<ReadonlyMap<string, readonly string[]>> {
  const found = new Map<string, string[]>();
  const files = (await readdir(join(root, "test"), { recursive: true })).filter((path) => path.endsWith(".ts")).sort();
  for (const path of files) {
    const source = await readFile(join(root, "test", path), "utf8");
    for (const [, , ids = "", title = ""] of source.matchAll(TITLE)) {
      for (const id of ids.match(/F\d{3}/g) ?? []) {
        found.set(id, [
          ...(found.get(id) ?? []),
          `\`test/${path.replaceAll("\\", "/")}\`: ${title.replaceAll(/\\(.)/g, "$1").replaceAll(/\$\{[^}]*\}/g, "…")}`,
        ]);
      }
    }
  }
  return found;
}

export async function requirementsDocument(root: string): Promise<string> {
  const chapters = JSON.parse(await readFile(join(root, "docs/requirements.json"), "utf8")) as readonly Chapter[];
  const found = await coverage(root);
  const rows = chapters.flatMap((chapter) => chapter.rows);
  const unknown = [...found.keys()].filter((id) => !rows.some((row) => row.id === id));
  if (unknown.length > 0) throw new Error(`tests name rows that docs/requirements.json does not have: ${unknown.join(", ")}`);
  const covered = rows.filter(({ id }) => found.has(id)).length;
  const sections = chapters.map(
    ({ title, rows: these }) =>
      `## ${title}\n\n${table(
        ["id", "what must be", "tests"],
        these.map(({ id, first, text }) => [first ? `${id} ★` : id, text, found.get(id)?.join("<br>") ?? "pending"]),
      )}`,
  );
  return `# Requirements and their tests

${GENERATED}

A test whose title begins with a row's id covers that row, or a part of it; the rows are in \`docs/requirements.json\`. A star marks what
comes first where two rows pull against each other. ${covered} of ${rows.length} rows have a test; the others are pending.

${sections.join("\n\n")}
`;
}
