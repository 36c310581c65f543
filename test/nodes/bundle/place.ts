/** A directory of one test, filled from a table of names and texts. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { ExecutionContext } from "ava";
import { type ErrorName, Fault } from "../../../protocol/errors.ts";

export async function place(t: ExecutionContext, files: Record<string, string | Uint8Array> = {}): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), "bundle-"));
  t.teardown(() => rm(root, { recursive: true, force: true }));
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, name)), { recursive: true });
    await writeFile(join(root, name), content);
  }
  return root;
}

/** The Fault that a promise rejects with; anything else fails the test. */
export async function fault(t: ExecutionContext, promise: Promise<unknown>, name: ErrorName): Promise<string> {
  const thrown = await t.throwsAsync(promise, { any: true });
  t.true(thrown instanceof Fault, String(thrown));
  t.is((thrown as Fault).name, name, String(thrown));
  return (thrown as Fault).message;
}
