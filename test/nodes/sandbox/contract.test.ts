/**
 * The contract of the sandbox port, run against every kind that runs real processes. What a kind cannot promise by
 * nature stands in NOT_PROMISED with the reason; everything else holds for all.
 */
import { fork } from "node:child_process";
import { closeSync, existsSync, openSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import test, { type ExecutionContext } from "ava";
import type { EndCause, RuntimeName, Sandbox } from "../../../actors/instance/sandbox.ts";
import { processTable, treeOf } from "../../../nodes/io/sandbox/process-table.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { temporaryDirectory } from "../../support/temp.ts";
import { until } from "../../support/until.ts";
import { groupsLeft, HOSTILE, type KindName, openHostile, processesWith, projectRoot, runDirectory, Victim } from "./hostile.ts";

const NO_WALLS = "a plain process has no file view, process view or network of its own";
const NO_USER = "without root a plain process is the agent's own user";
const NOT_PROMISED: Record<KindName, Readonly<Record<string, string>>> = {
  bubblewrap: {},
  "bubblewrap without groups": {},
  process: {
    "cannot read the project or list the host": NO_WALLS,
    "cannot see other processes": NO_WALLS,
    "has no network": NO_WALLS,
    "cannot fill its disk": "the disk is the host's; only single files are bounded",
    "is denied namespaces, mounts and tracing": "there is no system call filter",
    "cannot write outside its scratch": NO_WALLS,
    // Only root can give a container a user of its own.
    ...(process.getuid?.() === 0
      ? {}
      : {
          "cannot read what only the agent may": NO_USER,
          "cannot read files of another instance": NO_USER,
          "cannot change the code it was given": NO_USER,
          "cannot signal the agent or another container": NO_USER,
        }),
  },
};

interface Given {
  readonly t: ExecutionContext;
  readonly kind: KindName;
  readonly sandbox: Sandbox;
  readonly directory: string;
}

const RULES: Record<string, (given: Given) => Promise<void>> = {
  async "cannot read what only the agent may"({ t, sandbox }) {
    const secret = join(await temporaryDirectory(t), "secret");
    writeFileSync(secret, "x", { mode: 0o600 });
    const victim = await Victim.start(sandbox, "node");
    const read = `const fs = require("fs"); return ["/etc/shadow", ${JSON.stringify(secret)}].map((path) => { try { return fs.readFileSync(path, "utf8"); } catch (error) { return error.code; } })`;
    for (const found of (await victim.run(read)) as string[]) t.regex(found, /^(ENOENT|EACCES)$/);
  },

  async "cannot read files of another instance"({ t, sandbox }) {
    const [one, other] = [await Victim.start(sandbox, "node"), await Victim.start(sandbox, "node")];
    const source = join(await temporaryDirectory(t), "source.js");
    writeFileSync(source, "the code of one", { mode: 0o644 });
    const inside = await one.container.deliver(source, "bundle.js");
    const read = `return require("fs").readFileSync(${JSON.stringify(inside)}, "utf8")`;
    t.is(await one.run(read), "the code of one");
    t.regex(((await other.run(read)) as { error: string }).error, /^(ENOENT|EACCES)$/);
    const scratch = `const os = require("os"); require("fs").writeFileSync(os.tmpdir() + "/left", "mine"); return os.tmpdir() + "/left"`;
    const path = (await one.run(scratch)) as string;
    t.regex(
      ((await other.run(`return require("fs").readFileSync(${JSON.stringify(path)}, "utf8")`)) as { error: string }).error,
      /^(ENOENT|EACCES)$/,
    );
  },

  async "cannot change the code it was given"({ t, sandbox }) {
    const victim = await Victim.start(sandbox, "node");
    const source = join(await temporaryDirectory(t), "fixed.js");
    writeFileSync(source, "original", { mode: 0o644 });
    const inside = JSON.stringify(await victim.container.deliver(source, "fixed.js"));
    const tries = `const fs = require("fs"); return [() => fs.writeFileSync(${inside}, "changed"), () => fs.unlinkSync(${inside}), () => fs.chmodSync(${inside}, 0o777)].map((work) => { try { work(); return "done"; } catch (error) { return error.code; } })`;
    for (const result of (await victim.run(tries)) as string[]) t.regex(result, /^(EROFS|EACCES|EPERM)$/);
    t.is(readFileSync(source, "utf8"), "original");
  },

  async "cannot read the project or list the host"({ t, sandbox, directory }) {
    const victim = await Victim.start(sandbox, "node");
    const paths = [projectRoot(), directory, "/root", "/home", "/usr/bin", "/var", "/sys"];
    const read = `const fs = require("fs"); return ${JSON.stringify(paths)}.map((path) => { try { return fs.readdirSync(path).length; } catch (error) { return error.code; } })`;
    for (const found of (await victim.run(read)) as unknown[]) t.true(found === "ENOENT" || found === 0, String(found));
    const command = (await victim.run(`return require("fs").readFileSync("/proc/1/cmdline", "utf8")`)) as string;
    t.false(command.includes(directory));
    t.deepEqual(
      (await victim.run(
        `return require("fs").readdirSync("/proc/self/fd").map(Number).filter((fd) => { try { return /^\\/(?!dev|proc)/.test(require("fs").readlinkSync("/proc/self/fd/" + fd)); } catch { return false; } })`,
      )) as number[],
      [],
    );
  },

  async "sees nothing of the host's environment"({ t, sandbox }) {
    process.env["PILOT_TEST_SECRET"] = "do not tell";
    const node = await Victim.start(sandbox, "node");
    const python = await Victim.start(sandbox, "python");
    const seen = [await node.run("return Object.keys(process.env)"), await python.run("import os\nvalue = list(os.environ)")] as string[][];
    for (const names of seen)
      for (const name of names) t.true(["PATH", "HOME", "TMPDIR", "LANG", "LC_CTYPE", "PWD", "OLDPWD", "SHLVL", "_"].includes(name), name);
  },

  async "has no network"({ t, sandbox }) {
    const server = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.teardown(() => server.close());
    const { port } = server.address() as { port: number };
    const dial = `return new Promise((resolve) => createConnection(${port}, "127.0.0.1").on("connect", () => resolve("reached")).on("error", (error) => resolve(error.code)))`;
    t.is(await (await Victim.start(sandbox, "node")).run(dial), "ECONNREFUSED");
    t.deepEqual(
      await (await Victim.start(sandbox, "node")).run(
        `return Object.values(require("os").networkInterfaces()).flat().filter((one) => !one.internal)`,
      ),
      [],
    );
  },

  async "cannot write outside its scratch"({ t, sandbox }) {
    const victim = await Victim.start(sandbox, "node");
    const tries = `const fs = require("fs"); return ["/x", "/dev/x", "/etc/hosts", "/code/x", "/runtime/x", "/bin/node", "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger"].map((path) => { try { fs.writeFileSync(path, "x"); return path; } catch (error) { return error.code; } })`;
    for (const result of (await victim.run(tries)) as string[]) t.regex(result, /^(EROFS|EACCES|EPERM|ENOENT|ETXTBSY)$/);
  },

  async "that takes all memory ends as outOfMemory, and its neighbour lives"({ t, sandbox }) {
    for (const [runtime, bomb] of [
      ["node", "const held = []; for (;;) held.push(Buffer.alloc(4e6, 1));"],
      ["python", "held = []\nwhile True: held.append(bytearray(b'x' * 4000000))"],
    ] as const) {
      const instance = `oom-${runtime}`;
      const neighbour = await Victim.start(sandbox, runtime, { instance });
      const victim = await Victim.start(sandbox, runtime, { instance, memoryMb: 128 });
      victim.start(bomb);
      t.is((await victim.ended).cause.kind, "outOfMemory", runtime);
      t.is(Buffer.from((await neighbour.echo(Buffer.from("here"))) as Uint8Array).toString(), "here");
      t.is(neighbour.ends, 0);
    }
  },

  async "that forks without end is bounded and goes as a whole"({ t, sandbox }) {
    const victim = await Victim.start(sandbox, "python");
    const forked = (await victim
      .run(
        "import os, time\nvalue = 0\ntry:\n  for i in range(500):\n    if os.fork() == 0:\n      channel.close(); time.sleep(1000)\n    value += 1\nexcept OSError: pass",
      )
      .catch(() => 0)) as number;
    // Either the kernel refuses, or whoever looks from outside ends it.
    if (forked >= LIMITS.processes.value) await victim.ended;
    await victim.container.stop();
    t.is(victim.container.stats().processes <= LIMITS.processes.value, true);
    const node = await Victim.start(sandbox, "node");
    node.start(
      "const { spawn } = require('child_process'); for (let i = 0; i < 16; i += 1) try { spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { detached: true }).on('error', () => {}); } catch {} say('spawned');",
    );
    await until(() => node.frames > 0 || node.ends > 0, "the spawning to be over", 20_000);
    await node.container.stop();
    t.is(node.ends, 1);
  },

  async "cannot fill its disk"({ t, sandbox }) {
    const victim = await Victim.start(sandbox, "node", { memoryMb: 600 });
    const fill = (path: string): string =>
      `const fs = require("fs"); const fd = fs.openSync(${JSON.stringify(path)}, "w"); let bytes = 0; const block = Buffer.alloc(1 << 20); try { for (;;) bytes += fs.writeSync(fd, block); } catch (error) { fs.closeSync(fd); fs.unlinkSync(${JSON.stringify(path)}); return [error.code, bytes]; }`;
    t.deepEqual(await victim.run(fill("/tmp/full")), ["ENOSPC", LIMITS.scratch.value]);
    t.deepEqual(await victim.run(fill("/dev/shm/full")), ["ENOSPC", LIMITS.sharedMemory.value]);
  },

  async "that loops for ever is stopped"({ t, sandbox }) {
    for (const [runtime, loop] of [
      ["node", "for(;;);"],
      ["python", "while True: pass"],
    ] as const) {
      const victim = await Victim.start(sandbox, runtime);
      victim.start(loop);
      await until(() => victim.container.stats().cpuMicroseconds > 20_000, "the loop to run");
      await victim.container.stop();
      t.deepEqual((await victim.ended).cause, { kind: "stopped" });
    }
  },

  async "that ignores SIGTERM is stopped"({ t, sandbox }) {
    const victim = await Victim.start(sandbox, "node");
    await victim.run("for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGCONT']) process.on(name, () => {}); return 1");
    await Promise.all([victim.container.stop(), victim.container.stop()]);
    t.deepEqual((await victim.ended).cause, { kind: "stopped" });
    await victim.container.stop();
    t.is(victim.ends, 1);
  },

  async "that writes without end is slowed, and its last words are kept"({ t, sandbox }) {
    const flood = await Victim.start(sandbox, "node");
    flood.start("const fs = require('fs'); for (;;) try { fs.writeSync(1, 'y'.repeat(65536)); } catch {}");
    const victim = await Victim.start(sandbox, "node");
    victim.start("process.stderr.write('last words\\n', () => process.exit(3))");
    const end = await victim.ended;
    t.deepEqual(end.cause, { kind: "exited", code: 3 });
    t.true(end.output.endsWith("last words\n"), end.output);
    await flood.container.stop();
    const { output } = await flood.ended;
    t.true(output.length > 0 && output.length <= LIMITS.outputTail.value);
  },

  async "that crashes says by which signal"({ t, sandbox }) {
    const victim = await Victim.start(sandbox, "node");
    victim.start("process.abort()");
    t.deepEqual((await victim.ended).cause, { kind: "signalled", signal: "SIGABRT" });
    const ends: Record<string, EndCause> = {
      "import os; os._exit(4)": { kind: "exited", code: 4 },
      // What looks like a signal is none.
      "import os; os._exit(139)": { kind: "exited", code: 139 },
      "import os; os.kill(os.getpid(), 11)": { kind: "signalled", signal: "SIGSEGV" },
      "import ctypes; ctypes.string_at(0)": { kind: "signalled", signal: "SIGSEGV" },
      "import os; os.abort()": { kind: "signalled", signal: "SIGABRT" },
    };
    const neighbour = await Victim.start(sandbox, "python", { instance: "crashing" });
    for (const [code, cause] of Object.entries(ends)) {
      const python = await Victim.start(sandbox, "python", { instance: "crashing" });
      python.start(code);
      t.deepEqual((await python.ended).cause, cause, code);
    }
    t.is(await neighbour.run("value = 5"), 5);
    t.is(neighbour.ends, 0);
  },

  async "whose process is over is over, also when a process of its own lives on"({ t, sandbox }) {
    const victim = await Victim.start(sandbox, "python");
    victim.start("import os, time\nif os.fork() == 0: time.sleep(1000)\nos._exit(6)");
    t.deepEqual((await victim.ended).cause, { kind: "exited", code: 6 });
  },

  async "that ends the zygote ends its neighbours with it, as signalled"({ t, sandbox }) {
    const [one, other] = [
      await Victim.start(sandbox, "python", { instance: "zygote" }),
      await Victim.start(sandbox, "python", { instance: "zygote" }),
    ];
    one.start("import os; os.kill(os.getppid(), 9)");
    for (const victim of [one, other]) t.deepEqual((await victim.ended).cause, { kind: "signalled", signal: "SIGKILL" });
    t.is(await (await Victim.start(sandbox, "python", { instance: "zygote" })).run("value = 1"), 1);
  },

  async "cannot signal the agent or another container"({ t, sandbox }) {
    const victim = await Victim.start(sandbox, "node");
    const pids = [process.pid, process.ppid, 1];
    const tries = `return ${JSON.stringify(pids)}.map((pid) => { try { process.kill(pid, pid === 1 ? "SIGTERM" : 0); return "allowed"; } catch (error) { return error.code; } })`;
    const results = (await victim.run(tries)) as string[];
    for (const result of results.slice(0, 2)) t.regex(result, /^(ESRCH|EPERM)$/);
    t.is(victim.ends, 0);
  },

  async "cannot see other processes"({ t, sandbox }) {
    await Victim.start(sandbox, "node");
    const victim = await Victim.start(sandbox, "node");
    const seen = (await victim.run(
      `return require("fs").readdirSync("/proc").filter((name) => /^\\d+$/.test(name)).map((pid) => require("fs").readFileSync("/proc/" + pid + "/comm", "utf8").trim())`,
    )) as string[];
    t.deepEqual(seen.sort(), ["bwrap", "node"]);
  },

  async "is denied namespaces, mounts and tracing"({ t, sandbox }) {
    const victim = await Victim.start(sandbox, "python");
    const number =
      process.arch === "x64"
        ? { unshare: 272, mount: 165, ptrace: 101, bpf: 321, keyctl: 250, io_uring: 425, clone3: 435 }
        : { unshare: 97, mount: 40, ptrace: 117, bpf: 280, keyctl: 219, io_uring: 425, clone3: 435 };
    const tries = `import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\ndef call(number, *words):\n  ctypes.set_errno(0)\n  libc.syscall(number, *words)\n  return ctypes.get_errno()\nvalue = [call(${number.unshare}, 0x10000000), call(${number.mount}, 0, 0, 0, 0, 0), call(${number.ptrace}, 0, 0, 0, 0), call(${number.bpf}, 0, 0, 0), call(${number.keyctl}, 0, 0), call(${number.io_uring}, 1, 0), call(${number.clone3}, 0, 0)]`;
    t.deepEqual(await victim.run(tries), [1, 1, 1, 1, 1, 38, 38]);
    const status = (await victim.run(`value = open("/proc/self/status").read()`)) as string;
    for (const line of [/^NoNewPrivs:\s+1$/m, /^Seccomp:\s+2$/m, /^CapEff:\s+0+$/m, /^CapBnd:\s+0+$/m]) t.regex(status, line);
  },

  async "that writes garbage, huge or unknown frames ends as protocol"({ t, sandbox }) {
    const attacks: [RuntimeName, string][] = [
      ["node", "raw(require('crypto').randomBytes(1 << 20).fill(255, 0, 12))"],
      ["node", "raw(Buffer.from([19, 0, 255, 255, 0, 0, 0, 1, 0, 0, 0, 0]))"],
      ["node", "raw(frame(99, 0, 1, Buffer.alloc(0), Buffer.alloc(0)))"],
      ["node", "raw(frame(16, 0, 1, Buffer.from('{}'), Buffer.alloc(0)))"],
      ["python", "channel.sendall(b'\\xff' * 64)"],
    ];
    for (const [runtime, attack] of attacks) {
      const victim = await Victim.start(sandbox, runtime);
      victim.start(attack);
      t.is((await victim.ended).cause.kind, "protocol", attack);
    }
    const other = await Victim.start(sandbox, "node");
    t.deepEqual(await other.run("return 1"), 1);
  },

  async "that sends half a frame, or closes its channel, harms nobody"({ t, sandbox }) {
    const half = await Victim.start(sandbox, "node");
    half.start("raw(frame(19, 0, 1, Buffer.alloc(0), Buffer.alloc(5000)).subarray(0, 3000)); setTimeout(() => process.exit(5), 20)");
    t.deepEqual((await half.ended).cause, { kind: "exited", code: 5 });
    const deaf = await Victim.start(sandbox, "node");
    deaf.start("process.exit = () => {}; require('fs').closeSync(3); setInterval(() => {}, 1000)");
    t.is((await deaf.ended).cause.kind, "protocol");
  },

  async "can be frozen, thawed, and stopped while frozen"({ t, sandbox }) {
    for (const runtime of ["node", "python"] as const) {
      const victim = await Victim.start(sandbox, runtime);
      victim.container.signal("freeze");
      const answer = victim.run(runtime === "node" ? "return 7" : "value = 7");
      victim.container.signal("thaw");
      t.is(await answer, 7);
      victim.container.signal("freeze");
      await victim.container.stop();
      t.deepEqual((await victim.ended).cause, { kind: "stopped" });
    }
  },

  async "is measured"({ t, sandbox }) {
    const victim = await Victim.start(sandbox, "node");
    await victim.run("globalThis.held = Buffer.alloc(5e7, 1); const until = Date.now() + 50; while (Date.now() < until); return 1");
    const stats = victim.container.stats();
    t.true(
      stats.memoryBytes > 4e7 && stats.memoryPeakBytes >= stats.memoryBytes && stats.cpuMicroseconds > 20_000 && stats.processes >= 1,
      JSON.stringify(stats),
    );
  },

  async "gets and returns large payloads unchanged"({ t, sandbox }) {
    const victim = await Victim.start(sandbox, "node");
    for (const size of [0, 1, 2048, 2049, 4 << 20]) {
      const payload = Buffer.alloc(size, 7);
      t.true(Buffer.from((await victim.echo(payload)) as Uint8Array).equals(payload), `${size}`);
    }
  },

  async "leaves nothing after remove"({ t, sandbox, directory }) {
    const [node, python] = [
      await Victim.start(sandbox, "node", { instance: "leaving" }),
      await Victim.start(sandbox, "python", { instance: "leaving" }),
    ];
    await sandbox.remove("leaving");
    for (const victim of [node, python]) t.deepEqual((await victim.ended).cause, { kind: "stopped" });
    t.is(node.ends + python.ends, 2);
    t.deepEqual(readdirSync(join(directory, "i")), []);
    await sandbox.remove("leaving");
    t.is(await (await Victim.start(sandbox, "node", { instance: "leaving" })).run("return 1"), 1);
  },
};

function noneOf(pids: readonly number[]): boolean {
  const table = processTable();
  return pids.every((pid) => !table.has(pid));
}

for (const kind of ["bubblewrap", "bubblewrap without groups", "process"] as const) {
  for (const [rule, proof] of Object.entries(RULES)) {
    const excuse = NOT_PROMISED[kind][rule];
    const title = `F100 ${kind}: a container ${rule}`;
    if (excuse !== undefined) {
      test.skip(`${title} (${excuse})`, () => {});
      continue;
    }
    test.serial(title, async (t) => {
      const cgroupRoot = `pilot-test-${process.pid}-${Math.random().toString(36).slice(2, 8)}`;
      const { sandbox, directory } = await openHostile(kind, { cgroupRoot });
      t.teardown(() => sandbox.close());
      await proof({ t, kind, sandbox, directory });
      await sandbox.close();
      t.false(existsSync(directory), "its directory is gone");
      t.deepEqual(groupsLeft(cgroupRoot), []);
      t.deepEqual(processesWith(directory), []);
    });
  }

  test.serial(`F100 ${kind}: an agent killed with -9 leaves no process, group or file`, async (t) => {
    const directory = await runDirectory();
    const cgroupRoot = `pilot-test-${process.pid}-agent`;
    const secret = join(await temporaryDirectory(t), "inherited secret");
    writeFileSync(secret, "x");
    const inherited = openSync(secret, "r");
    t.teardown(() => closeSync(inherited));
    const agent = fork(fileURLToPath(new URL("./agent.js", import.meta.url)), [kind, directory, cgroupRoot], {
      stdio: ["ignore", "pipe", "inherit", "ipc", inherited],
    });
    t.teardown(() => agent.kill("SIGKILL"));
    const open = await new Promise<Buffer>((resolve) => agent.stdout?.once("data", resolve));
    t.false(open.toString().includes("inherited secret"), "a descriptor that the agent inherited is not open in a box");
    const family = treeOf(agent.pid ?? 0, processTable()).map((row) => row.pid);
    t.true(family.length >= 4, "agent, spawner and boxes");
    agent.kill("SIGKILL");
    await until(() => !existsSync(directory), "the directory to go");
    await until(() => noneOf(family), "agent, spawner and boxes to be gone");
    t.deepEqual(groupsLeft(cgroupRoot), []);
  });

  test.serial(`F100 ${kind}: what an agent and its spawner leave when both are killed with -9, the next agent sweeps`, async (t) => {
    const directory = await runDirectory();
    const cgroupRoot = `pilot-test-${process.pid}-sweep`;
    const agent = fork(fileURLToPath(new URL("./agent.js", import.meta.url)), [kind, directory, cgroupRoot], {
      stdio: ["ignore", "pipe", "inherit", "ipc"],
    });
    t.teardown(() => agent.kill("SIGKILL"));
    await new Promise((resolve) => agent.stdout?.once("data", resolve));
    await t.throwsAsync(openHostile(kind, { runDirectory: directory, cgroupRoot }), { name: "Conflict" });
    const family = treeOf(agent.pid ?? 0, processTable()).map((row) => row.pid);
    const { spawner } = JSON.parse(readFileSync(join(directory, "owner"), "utf8")) as { spawner: { pid: number } };
    agent.kill("SIGSTOP");
    process.kill(spawner.pid, "SIGKILL");
    agent.kill("SIGKILL");
    await until(() => !processTable().has(agent.pid ?? 0), "the agent to be gone");
    const { sandbox } = await openHostile(kind, { runDirectory: directory, cgroupRoot });
    t.teardown(() => sandbox.close());
    await until(() => noneOf(family), "everything of the first agent to be gone");
    t.deepEqual(readdirSync(join(directory, "i")), []);
    await t.throwsAsync(openHostile(kind, { runDirectory: directory, cgroupRoot }), { name: "Conflict" }, "twice in one process");
    await sandbox.close();
    t.false(existsSync(directory));
    t.deepEqual(groupsLeft(cgroupRoot), []);
  });

  test.serial(`F100 ${kind}: a box that ends before it is ready is BootFailed, with its last words`, async (t) => {
    const broken = join(await temporaryDirectory(t), "broken.cjs");
    writeFileSync(
      broken,
      "if (require('fs').existsSync(__dirname + '/fine')) require('./fine'); else { console.error('no engine'); process.exit(9); }",
    );
    const error = await t.throwsAsync(openHostile(kind, { bootstraps: { ...HOSTILE, node: broken } }), { name: "BootFailed" });
    t.regex(error?.message ?? "", /no engine/);
    t.deepEqual(processesWith("broken.cjs"), []);
  });

  test.serial(`F100 ${kind}: an instance that is removed while containers boot leaves nothing`, async (t) => {
    const { sandbox, directory } = await openHostile(kind);
    t.teardown(() => sandbox.close());
    const starts = (["node", "python", "python", "node", "node"] as const).map((runtime) =>
      Victim.start(sandbox, runtime, { instance: "hasty" }),
    );
    const outcomes = Promise.allSettled(starts);
    await sandbox.remove("hasty");
    for (const outcome of await outcomes) {
      if (outcome.status === "rejected") t.is((outcome.reason as { name: string }).name, "BootFailed");
      else t.is((await outcome.value.ended).cause.kind !== "spawnerLost", true);
    }
    t.deepEqual(readdirSync(join(directory, "i")), []);
  });

  test.serial(`F100 ${kind}: a spawner killed with -9 while boxes start leaves none of them behind`, async (t) => {
    const cgroupRoot = `pilot-test-${process.pid}-starting`;
    const { sandbox, directory } = await openHostile(kind, { cgroupRoot, cores: 4 });
    t.teardown(() => sandbox.close());
    for (const round of [0, 1, 2, 3]) {
      const lost = new Promise<void>((resolve) => sandbox.onSpawnerLost(resolve));
      const network = sandbox.isolation.network !== "none";
      const starts = [
        ...[1, 2].map(() => Victim.start(sandbox, "node", { instance: `starting-${round}` })),
        Victim.start(sandbox, "node", { instance: `starting-online-${round}`, network }),
      ];
      const outcomes = Promise.allSettled(starts);
      const { spawner } = JSON.parse(readFileSync(join(directory, "owner"), "utf8")) as { spawner: { pid: number } };
      // Each round a little later in the life of the boxes: before any, at the first, at a few, when all run.
      await until(() => treeOf(spawner.pid, processTable()).length > round * (kind === "process" ? 1 : 3), "boxes to start", 20_000);
      const family = treeOf(spawner.pid, processTable()).map((row) => row.pid);
      process.kill(spawner.pid, "SIGKILL");
      await lost;
      for (const outcome of await outcomes) {
        if (outcome.status === "rejected") t.is((outcome.reason as { name: string }).name, "BootFailed");
        else t.is((await outcome.value.ended).cause.kind, "spawnerLost");
      }
      t.true(noneOf(family));
    }
    await sandbox.close();
    t.deepEqual(groupsLeft(cgroupRoot), []);
    t.deepEqual(processesWith(directory), []);
  });

  test.serial(`F100 ${kind}: a spawner that hangs is noticed by its silence and replaced`, async (t) => {
    const { sandbox, directory } = await openHostile(kind);
    t.teardown(() => sandbox.close());
    const victim = await Victim.start(sandbox, "node");
    const lost = new Promise<void>((resolve) => sandbox.onSpawnerLost(resolve));
    const { spawner } = JSON.parse(readFileSync(join(directory, "owner"), "utf8")) as { spawner: { pid: number } };
    process.kill(spawner.pid, "SIGSTOP");
    await lost;
    t.is((await victim.ended).cause.kind, "spawnerLost");
    t.is(await (await Victim.start(sandbox, "node")).run("return 3"), 3);
  });

  test.serial(`F100 ${kind}: containers of one instance that boot at the same time all boot`, async (t) => {
    const { sandbox } = await openHostile(kind);
    t.teardown(() => sandbox.close());
    for (let round = 0; round < 8; round++) {
      const victims = await Promise.all([0, 1, 2, 3].map(() => Victim.start(sandbox, "node", { instance: `crowd-${round}` })));
      for (const [at, victim] of victims.entries()) t.is(await victim.run(`return ${at}`), at);
      await Promise.all(victims.map((victim) => victim.container.stop()));
    }
  });

  test.serial(`F100 ${kind}: how a container ended is told right, also when the spawner tells it late`, async (t) => {
    const { sandbox, directory } = await openHostile(kind);
    t.teardown(() => sandbox.close());
    const { spawner } = JSON.parse(readFileSync(join(directory, "owner"), "utf8")) as { spawner: { pid: number } };
    const ends: Record<string, EndCause> = {
      "process.kill(process.pid, 'SIGSEGV')": { kind: "signalled", signal: "SIGSEGV" },
      "process.reallyExit(4)": { kind: "exited", code: 4 },
    };
    for (const [code, cause] of Object.entries(ends)) {
      const victim = await Victim.start(sandbox, "node");
      process.kill(spawner.pid, "SIGSTOP");
      victim.start(code);
      const thaw = setTimeout(() => process.kill(spawner.pid, "SIGCONT"), LIMITS.channelGrace.value + 200);
      t.deepEqual((await victim.ended).cause, cause);
      clearTimeout(thaw);
    }
  });

  test.serial(`F100 ${kind}: after a spawner killed with -9 containers end as spawnerLost, and starting works again`, async (t) => {
    const { sandbox, directory } = await openHostile(kind);
    t.teardown(() => sandbox.close());
    const victims = [await Victim.start(sandbox, "node"), await Victim.start(sandbox, "python"), await Victim.start(sandbox, "python")];
    const endsWhenTold: number[] = [];
    const told = new Promise<void>((resolve) =>
      sandbox.onSpawnerLost(() => {
        endsWhenTold.push(...victims.map((victim) => victim.ends));
        resolve();
      }),
    );
    const { spawner } = JSON.parse(readFileSync(join(directory, "owner"), "utf8")) as { spawner: { pid: number } };
    const family = treeOf(spawner.pid, processTable()).map((row) => row.pid);
    process.kill(spawner.pid, "SIGKILL");
    await told;
    t.deepEqual(endsWhenTold, [1, 1, 1]);
    for (const victim of victims) t.is((await victim.ended).cause.kind, "spawnerLost");
    t.true(noneOf(family));
    for (const runtime of ["node", "python"] as const)
      t.is(await (await Victim.start(sandbox, runtime)).run(runtime === "node" ? "return 2" : "value = 2"), 2);
  });
}
