/**
 * Finds a nats-server to run: a given path, the optional npm package, our cache, the machine's own (2.10 or later),
 * the pinned npm tarball, and at last the machine's own 2.9 in reduced form. The first that answers is taken.
 */

import { access, constants } from "node:fs/promises";
import { createRequire } from "node:module";
import { homedir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { Fault } from "../../../protocol/errors.ts";
import { download, hasHash, type Pack } from "./download.ts";
import { BROKER_SUPPORT, BROKER_VERSION, type Release, releaseFor } from "./release.ts";
import { atLeast, versionOf } from "./version.ts";

/** How to look. Everything but `allowDownload` has a default; tests give the rest. */
export interface FindBroker {
  /** A program that the user named: it alone is tried. */
  readonly path?: string | undefined;
  /** False: never ask the npm registry. */
  readonly allowDownload: boolean;
  readonly environment?: NodeJS.ProcessEnv;
  /** For example `linux-x64`. */
  readonly platform?: string;
  readonly release?: Release;
  readonly pack?: Pack;
  /** Directories looked through after PATH. */
  readonly extraDirectories?: readonly string[];
  /** Told in one plain sentence what is being done when it may take a while. */
  readonly progress?: (sentence: string) => void;
}

export interface FoundBroker {
  readonly path: string;
  readonly version: string;
  /** Where it came from, for people: "the npm package …", "our cache", "/usr/sbin". */
  readonly origin: string;
  /** True for a 2.9 server, which lacks features; see docs. */
  readonly reduced: boolean;
}

/** Finds a server. Rejects with Fault Unavailable, whose message has the commands that install one. */
export async function findBroker(options: FindBroker): Promise<FoundBroker> {
  const environment = options.environment ?? process.env;
  const platform = options.platform ?? `${process.platform}-${process.arch}`;
  const release = options.release ?? releaseFor(platform);
  if (options.path !== undefined) return given(options.path);

  const packaged = packagedProgram(release);
  const fromPackage = packaged === undefined ? undefined : await usable(packaged, `the npm package ${release.packageName}`);
  if (fromPackage !== undefined && !fromPackage.reduced) return fromPackage;

  const cache = join(cacheDirectory(environment), `${release.version}-${platform}`);
  const cached = join(cache, "nats-server");
  if (release.pinned !== undefined && (await hasHash(cached, release.pinned.programSha256))) {
    const fromCache = await usable(cached, "our cache");
    if (fromCache !== undefined) return fromCache;
  }

  const own = await installed(environment, options.extraDirectories ?? ["/usr/sbin", "/usr/local/sbin"]);
  const full = own.find((found) => !found.reduced);
  if (full !== undefined) return full;

  const reasons: string[] = [];
  if (!options.allowDownload) reasons.push("fetching one was not allowed");
  else if (release.pinned === undefined) reasons.push(`the package for ${platform} was never checked, so it is not fetched by itself`);
  else {
    try {
      options.progress?.(`fetching nats-server ${release.version} from the npm registry (7 MB, once)`);
      const fetched = await usable(await download(release, cache, options.pack), "the npm registry, now in our cache");
      if (fetched !== undefined) return fetched;
      reasons.push("the fetched program does not run on this machine");
    } catch (error) {
      reasons.push(Fault.from(error).message);
    }
  }
  const reduced = own[0];
  if (reduced !== undefined) return reduced;
  throw new Fault("Unavailable", installAdvice(reasons, platform), {
    next: "Install one with a command of these, or name one with --broker.",
  });
}

/** `${XDG_CACHE_HOME:-~/.cache}/pilotlight/nats-server`. A relative XDG_CACHE_HOME is ignored, as its specification says. */
function cacheDirectory(environment: NodeJS.ProcessEnv): string {
  const base = environment["XDG_CACHE_HOME"];
  return join(base?.startsWith("/") ? base : join(environment["HOME"] ?? homedir(), ".cache"), "pilotlight", "nats-server");
}

async function given(path: string): Promise<FoundBroker> {
  const found = await usable(path, "the given path");
  if (found !== undefined) return found;
  if (/^[a-z]+:\/\//.test(path))
    throw new Fault("BadRequest", `${path} is an address, not a program: for a broker that runs already say --server ${path}`);
  const version = await versionOf(path);
  throw new Fault(
    "BadRequest",
    version === undefined
      ? `${path} is no nats-server that can be run here`
      : `${path} is nats-server ${version}; at least ${BROKER_SUPPORT.reduced} is needed, ${BROKER_VERSION} is best`,
  );
}

async function usable(path: string, origin: string): Promise<FoundBroker | undefined> {
  try {
    await access(path, constants.X_OK);
  } catch {
    return undefined;
  }
  const version = await versionOf(path);
  if (version === undefined || !atLeast(version, BROKER_SUPPORT.reduced)) return undefined;
  return { path, version, origin, reduced: !atLeast(version, BROKER_SUPPORT.full) };
}

/** All servers on the machine, in the order of PATH. */
async function installed(environment: NodeJS.ProcessEnv, extra: readonly string[]): Promise<FoundBroker[]> {
  const directories = (environment["PATH"] ?? "").split(delimiter).filter((directory) => directory.startsWith("/"));
  const found: FoundBroker[] = [];
  for (const directory of new Set([...directories, ...extra])) {
    const one = await usable(join(directory, "nats-server"), directory);
    if (one !== undefined) found.push(one);
  }
  return found;
}

/** npm on Node below 22 skips the package, so it is often not there. */
function packagedProgram(release: Release): string | undefined {
  try {
    return join(dirname(createRequire(import.meta.url).resolve(release.packageName)), "bin", "nats-server");
  } catch {
    return undefined;
  }
}

function installAdvice(reasons: readonly string[], platform: string): string {
  const lines = [`no nats-server was found: ${reasons.join("; ")}.`, "Any one of these helps:"];
  if (platform.startsWith("darwin")) lines.push("  brew install nats-server");
  else lines.push("  apt-get install nats-server        (Debian; 2.9 there is a reduced form)");
  lines.push(`  go install github.com/nats-io/nats-server/v2@v${BROKER_VERSION}`);
  lines.push("  pilot up --broker /path/to/nats-server");
  lines.push("  or reach an npm registry: npm config get registry");
  return lines.join("\n");
}
