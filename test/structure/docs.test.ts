import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import test from "ava";
import { helpTexts } from "../../cli/docs.ts";
import { ERRORS } from "../../protocol/errors.ts";
import { CONTRACTS } from "../../protocol/messages/index.ts";
import { documents } from "../../scripts/docs/documents.ts";
import { coverage } from "../../scripts/docs/requirements.ts";
import { projectRoot } from "../support/project-root.ts";

test("every generated document is what the generator makes now", async (t) => {
  const made = await documents(projectRoot());
  for (const [path, text] of Object.entries(made)) {
    const written = await readFile(join(projectRoot(), "docs", path), "utf8").catch(() => "");
    t.true(written === text, `docs/${path} is out of date: run npm run docs`);
  }
  const diagrams = await readdir(join(projectRoot(), "docs/machines"));
  t.deepEqual(
    diagrams.sort(),
    Object.keys(made)
      .filter((path) => path.startsWith("machines/"))
      .map((path) => path.slice(9))
      .sort(),
  );
});

test("every file of contracts is in the table of contracts", async (t) => {
  const names = CONTRACTS.map(({ contract }) => contract.name);
  for (const file of await readdir(join(projectRoot(), "protocol/messages"))) {
    const source = await readFile(join(projectRoot(), "protocol/messages", file), "utf8");
    for (const [, name = ""] of source.matchAll(/= (?:request|event)\(\{\s*name: "([^"]+)"/g))
      t.true(names.includes(name), `${name} of ${file}`);
  }
  t.is(new Set(names).size, names.length, "a name is used once");
});

test("an error says what happened and what to do", (t) => {
  for (const [name, row] of Object.entries(ERRORS)) {
    t.regex(row.meaning, /^[A-Z].*\.$/, name);
    t.true(row.cure.length > 0, name);
  }
});

test("a row is covered by the tests whose titles begin with its id", async (t) => {
  const found = await coverage(projectRoot());
  t.true(found.size > 0);
  for (const id of found.keys()) t.regex(id, /^F(?:0\d\d|100)$/);
});

test("every test that SPECIFICATION.md names exists", async (t) => {
  const lines = (await readFile(join(projectRoot(), "SPECIFICATION.md"), "utf8")).split("\n").filter((line) => line.startsWith("| "));
  let named = 0;
  for (const line of lines) {
    for (const [, file = "", title = ""] of line.matchAll(/`(test\/[^`]+)`: "([^"]+)"/g)) {
      named += 1;
      const source = await readFile(join(projectRoot(), file), "utf8").catch(() => "");
      t.true(source.includes(title), `${file} has no test "${title}"`);
    }
  }
  t.true(named > 50);
});

test("every dependency has its reason", async (t) => {
  const reasons = await readFile(join(projectRoot(), "docs/decisions/dependencies.md"), "utf8");
  const manifest = JSON.parse(await readFile(join(projectRoot(), "package.json"), "utf8")) as Record<
    string,
    Record<string, string> | undefined
  >;
  const wanted = ["dependencies", "devDependencies", "optionalDependencies"].flatMap((kind) => Object.keys(manifest[kind] ?? {}));
  for (const name of wanted) t.true(reasons.includes(`\`${name}\``), `${name} has no reason in docs/decisions/dependencies.md`);
  const rows = [...reasons.matchAll(/^\| (`[^|]+`) \|/gm)].flatMap(([, cell = ""]) =>
    [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name),
  );
  t.deepEqual(
    rows.filter((name) => name !== undefined && !wanted.includes(name)),
    [],
    "rows without a dependency",
  );
});

test("decisions are numbered, and each has its parts", async (t) => {
  const directory = join(projectRoot(), "docs/decisions");
  const files = (await readdir(directory)).filter((name) => /^\d{4}-/.test(name)).sort();
  for (const [index, name] of files.entries()) {
    t.true(name.startsWith(String(index).padStart(4, "0")), `${name} is out of order`);
    const text = await readFile(join(directory, name), "utf8");
    for (const part of ["Status: ", "## Context", "## Decision", "## Consequences"]) t.true(text.includes(part), `${name} has no ${part}`);
  }
});

test("links between documents lead somewhere", async (t) => {
  const root = projectRoot();
  const pages = [
    "README.md",
    "SPECIFICATION.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/architecture.md",
    "docs/decisions/dependencies.md",
  ];
  for (const page of pages) {
    const text = await readFile(join(root, page), "utf8");
    for (const [, link = ""] of text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)) {
      const target = new URL(link, `file://${root}/${page}`);
      await t.notThrowsAsync(() => readdir(target).catch(() => readFile(target)), `${page} links to ${link}`);
    }
  }
});

test("every pilot command that a document names exists", async (t) => {
  const routes = helpTexts().map(([route]) => route);
  const nouns = new Set(routes.map((route) => route.split(" ").slice(0, 2).join(" ")));
  const decisions = (await readdir(join(projectRoot(), "docs/decisions"))).map((name) => `docs/decisions/${name}`);
  for (const page of [
    "README.md",
    "SPECIFICATION.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/architecture.md",
    "examples/README.md",
    ...decisions,
  ]) {
    const text = await readFile(join(projectRoot(), page), "utf8");
    for (const [, noun = "", verb = ""] of text.matchAll(/(?:npx |`)pilot ([a-z]+)(?: ([a-z]+))?/g)) {
      t.true(nouns.has(`pilot ${noun}`), `${page} names pilot ${noun}`);
      const hasVerbs = !routes.includes(`pilot ${noun}`);
      if (hasVerbs && verb !== "") t.true(routes.includes(`pilot ${noun} ${verb}`), `${page} names pilot ${noun} ${verb}`);
    }
  }
});
