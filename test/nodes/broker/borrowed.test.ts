import { readFile, stat } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import test from "ava";
import { writeContexts } from "../../../nodes/io/broker/borrowed.ts";
import { resolveConnection } from "../../../nodes/io/context.ts";
import { openStore } from "../../../nodes/io/store.ts";
import { temporaryDirectory } from "../../support/temp.ts";

test("the context of a server that runs already can be used from any directory, and by its owner only", async (t) => {
  const store = await openStore(join(await temporaryDirectory(t), "store"));
  t.teardown(() => store.release());
  const named = { server: "tls://me:secret@nats.example:4222", tlsca: "ca.pem", tlscert: "~/me.pem", tlskey: "/keys/me.pem" };
  await writeContexts(await resolveConnection(named, { HOME: "/home/me" }), store, ["operator"]);
  const path = store.contextFile("operator");
  const context: unknown = JSON.parse(await readFile(path, "utf8"));
  t.like(context, { url: "tls://nats.example:4222", user: "me", password: "secret", cert: "/home/me/me.pem", key: "/keys/me.pem" });
  const { ca } = context as { ca: string };
  t.true(isAbsolute(ca) && ca.endsWith("/ca.pem"), ca);
  t.is((await stat(path)).mode & 0o777, 0o600);
});
