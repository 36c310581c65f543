/** Everything that is generated, in one table: a new document is a file beside this one and a line here. */
import { cliDocument } from "../../cli/docs.ts";
import { errorsDocument } from "./errors.ts";
import { limitsDocument } from "./limits.ts";
import { machineDocuments } from "./machines.ts";
import { requirementsDocument } from "./requirements.ts";
import { subjectsDocument } from "./subjects.ts";

/** Path in docs/ → text, made from the project at `root` as it is now. */
export async function documents(root: string): Promise<Readonly<Record<string, string>>> {
  return {
    "cli.md": cliDocument(),
    "errors.md": errorsDocument(),
    "limits.md": limitsDocument(),
    "requirements.md": await requirementsDocument(root),
    "subjects.md": subjectsDocument(),
    ...(await machineDocuments(root)),
  };
}
