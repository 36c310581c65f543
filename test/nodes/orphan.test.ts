import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import test from "ava";
import { contextOf, openStore } from "../../nodes/io/store.ts";
import { roleEnvironment } from "../../nodes/supervisor/role-environment.ts";
import { temporaryDirectory } from "../support/temp.ts";

for (const role of ["scheduler", "frontend", "host"] as const) {
  test(`a ${role} whose supervisor is gone before it has loaded ends, and waits for no broker`, async (t) => {
    const store = await openStore(await temporaryDirectory(t));
    const node = `${role}-1`;
    const { users } = await store.credentials([{ role, node }]);
    const user = users.find((one) => one.user === node);
    if (user === undefined) return t.fail();
    // Nobody listens there: a node with a supervisor would wait for its broker for ever.
    await store.writeContext(node, contextOf("nats://127.0.0.1:9", user));
    const environment = roleEnvironment({
      role,
      node,
      context: store.contextFile(node),
      store: store.directory,
      logLevel: "error",
      direct: true,
      sandbox: "auto",
      warm: {},
    });
    const child = spawn(process.execPath, [fileURLToPath(new URL(`../../nodes/${role}.js`, import.meta.url))], {
      stdio: ["ignore", "ignore", "ignore", "ipc"],
      env: { ...process.env, ...environment },
    });
    t.teardown(() => child.kill("SIGKILL"));
    child.disconnect();
    const [code] = (await once(child, "exit")) as [number | null];
    t.is(code, 1);
  });
}
