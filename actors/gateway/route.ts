/** What the path of an HTTP request names. Everything in it is the caller's and hostile. */
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { isAlias, isName, isVersion } from "../../protocol/names.ts";

/** A function to call, or, without `callee`, code in the body to run. */
export interface CallRoute {
  readonly account: string;
  readonly callee: { readonly name: string; readonly qualifier: string | undefined } | undefined;
}

/**
 * Reads `/fn/<account>/<name>[:<alias or version>]` (also with `.`) and `/inline/<account>`. Throws Fault NotFound for another path, BadName
 * for what is no name, BadRequest for a query, which no function would see.
 */
export function readCallRoute(url: string): CallRoute {
  if (url.length > LIMITS.httpPath.value)
    throw new Fault("BadRequest", `the path is longer than ${LIMITS.httpPath.value} bytes`, { limit: "httpPath" });
  const query = url.indexOf("?");
  const path = query < 0 ? url : url.slice(0, query);
  const [first, tree, account, target, ...rest] = path.split("/").map(decoded);
  const isFn = tree === "fn" && target !== undefined;
  const isInline = tree === "inline" && target === undefined;
  if (first !== "" || account === undefined || rest.length > 0 || !(isFn || isInline))
    throw new Fault("NotFound", "there is nothing at this path; calls go to /fn/<account>/<function> and /inline/<account>");
  if (query >= 0 && query < url.length - 1)
    throw new Fault("BadRequest", "a query is not passed to functions: put everything into the body");
  if (!isName(account)) throw new Fault("BadName", "the account in the path is not a name");
  if (target === undefined) return { account, callee: undefined };
  const [name = "", qualifier, ...more] = target.split(/[.:]/);
  if (!isName(name) || more.length > 0) throw new Fault("BadName", "the function in the path is not a name");
  if (qualifier !== undefined && !isAlias(qualifier) && !isVersion(qualifier))
    throw new Fault("BadName", "the qualifier in the path is neither an alias nor a version");
  return { account, callee: { name, qualifier } };
}

/** Some clients write a colon as %3A. What cannot be decoded is left as it is, and is no name. */
function decoded(part: string): string {
  if (!part.includes("%")) return part;
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
