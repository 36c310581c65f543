/** `npm run docs`: writes the generated documents. test/structure/docs.test.ts fails when one is out of date. */
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { documents } from "./docs/documents.ts";

const docs = join(process.cwd(), "docs");
const made = await documents(process.cwd());
for (const [path, text] of Object.entries(made)) {
  await mkdir(dirname(join(docs, path)), { recursive: true });
  await writeFile(join(docs, path), text);
}
// The diagram of a machine that is no more.
for (const name of await readdir(join(docs, "machines"))) {
  if (!(`machines/${name}` in made)) await rm(join(docs, "machines", name));
}
