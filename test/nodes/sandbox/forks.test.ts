/** Forks of one box, with the runtime's own bootstrap: what they may see of their zygote and of each other. */
import test from "ava";
import type { SandboxedContainer } from "../../../actors/instance/sandbox.ts";
import { bundleSource } from "../../../nodes/io/bundle/index.ts";
import { openSandbox } from "../../../nodes/io/sandbox/index.ts";
import { FRAME, type LoadExtra } from "../../../protocol/frames.ts";
import { runDirectory } from "./hostile.ts";

const LOOK = `import os

def attempt(work):
    try:
        work()
        return "done"
    except OSError as error:
        return type(error).__name__

def handler(event, context):
    if event == "pid":
        return os.getpid()
    if event == "own":
        return [attempt(lambda: os.listdir("/proc/self/fd")), attempt(lambda: open("/proc/self/status").read())]
    return [
        attempt(lambda: os.listdir(f"/proc/{event}/fd")),
        attempt(lambda: os.open(f"/proc/{event}/mem", os.O_RDWR)),
        attempt(lambda: open(f"/proc/{event}/environ").read()),
        attempt(lambda: os.readlink(f"/proc/{event}/fd/3")),
    ]
`;

async function load(container: SandboxedContainer, code: Uint8Array): Promise<(event: unknown) => Promise<unknown>> {
  const heard = new Map<number, (value: unknown) => void>();
  let number = 0;
  container.listen({
    frame: (frame) => heard.get(frame.id)?.(frame.type === FRAME.result ? JSON.parse(Buffer.from(frame.payload).toString()) : undefined),
    ended: (cause) => {
      for (const resolve of heard.values()) resolve(cause);
    },
  });
  const extra: LoadExtra = { account: "a", function: "f", version: 1, memoryMb: 128, handler: "handler", environment: {}, cachedBytes: 0 };
  container.send(FRAME.load, 0, 0, Buffer.from(JSON.stringify(extra)), code);
  return (event) =>
    new Promise((resolve) => {
      number += 1;
      heard.set(number, resolve);
      const head = Buffer.alloc(8);
      head.writeDoubleBE(Date.now() + 60_000);
      container.send(FRAME.call, 0, number, Buffer.concat([head, Buffer.from("id")]), Buffer.from(JSON.stringify(event)));
    });
}

test("F100 a fork can look neither into its zygote nor into another fork, and can still look at itself", async (t) => {
  const sandbox = await openSandbox({ kind: "bubblewrap", runDirectory: await runDirectory(), log: () => {} });
  t.teardown(() => sandbox.close());
  const { code } = await bundleSource(LOOK, "python");
  const start = async (container: string): Promise<(event: unknown) => Promise<unknown>> =>
    load(await sandbox.start({ instance: "forks", container, runtime: "python", instanceMb: 512, network: false }, true), code);
  const [one, other] = [await start("one"), await start("other")];
  t.deepEqual(await one("own"), ["done", "done"]);
  const zygote = 2;
  for (const pid of [zygote, await other("pid")])
    t.deepEqual(await one(pid), ["PermissionError", "PermissionError", "PermissionError", "PermissionError"]);
});
