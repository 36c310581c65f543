/**
 * Every row of the table of limits either counts its hits (`pilot_limit_hits_total`) or stands here with why it does not. A limit counts
 * where a counter of protocol/metrics.ts stands for it, or where the code names it: `limit.<name>` as a counter, `limit: "<name>"` in
 * the details of a fault, or its compound name as a text.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import test from "ava";
import { LIMITS } from "../../protocol/limits.ts";
import { deployFunction } from "../../protocol/messages/registry.ts";
import { LIMIT_HITS } from "../../protocol/metrics.ts";
import { projectRoot } from "../support/project-root.ts";

const words = (text: string): string[] => text.trim().split(/\s+/);

const UNCOUNTED: Readonly<Record<string, readonly string[]>> = {
  "a rhythm, or a pause before something is tried again": words(`
    nodeHeartbeat announceEvery grantRenewal leaseRenew leaseLook longCallsEvery confirmRetry spawnerBeat memoryLook bootPause bootRetryMin
    bootRetryMax recordsEvery deadlineSweep hostTick pileUp drainAnnounced copiesAgain storageRetry watchRetry metricsEvery idAgain
    brokerPing nodeBeat diskLook`),
  "how long something is believed, kept or waited for; what then happens is no refusal, or a named event of its own": words(`
    bodyPartWait bodyLeader bodyLife leaseLife leaseRequest leaseTakeover leaderMemory deployAcknowledge absentName lostDirectCall store drain control lostHostTold lastWords
    registryDoubt channelGrace lastOutput spawnerSilence nameLookup clear storageWait copiesWait httpHealth httpKeepAlive idAnswer
    connectionClose brokerDial recordsLife inlineLife`),
  "the largest or smallest value of a setting, or a default: a wrong one is told to whoever gives it": words(`
    payloadReserve timeoutMax memoryMin memoryMax memoryDefault containersPerFunction environment aliases versions poolTargets boxMemory`),
  "chooses between two ways, both right": words(`
    bodyPartsInFlight bodyPartsStreamed callsAhead aheadWait aheadRun aheadSlow aheadBody orderedEnvironment codeSmall inlineBundles
    mappings httpJson`),
  "a memory of what was: at the bound the oldest is forgotten, or the rest is cut": words(`
    absentNames seenCalls versionsCached versionsShown lostHosts functionsKept versionsKept codeKeys callsRemembered codeCache codeInMemory
    cachedData transitionsKept goneActors actorsShown errorBody stack outputTail metricFunctions metricSeries`),
  "work waits there, and pilot_waiting_calls and the reasons of pilot inspect show it": words(`
    functionOrders accountOrders containersPerAccount channelFrames channelBytes outputRate httpRoomWait`),
  "held by the kernel or the broker, which refuse by themselves": words(`
    processes scratch sharedMemory callsKept logsKept inlineKept dataKept brokerPending brokerSubscriptions brokerConnections brokerFiles
    brokerMemory httpHeaders httpHeadersWait`),
  "counted together with another row: the same counter, the same end": words(`
    hostQueueBytes httpBodyTime httpReplyTime replySubject bodyAttempts`),
  "ends a container or a spawner, which is counted and logged as that": words(`
    frameExtra framePayload frameAnswer halfFrames channelBacklog spawnerStarts`),
  "bounds a deploy, and is told to whoever deploys": words(`bundle bundleFiles bundleTime bundleWarnings sourceMap registryAttempts`),
  "of a supervisor and of the broker that it starts, which say so themselves": words(`
    watchdogSilence brokerLog brokerProbe brokerDownload brokerStart brokerRoom brokerRoomLook brokerRoomPause brokerStop nodeStart drainLeast
    nodeLog restarts restartWindow restartDelayMin restartDelayMax`),
  "of a command or a client, which tell it to their caller": words(`
    replyGrace cancelWait callsOutstanding callsHeld callsHeldBytes clientClose samePress askAgain doctorPing doctorCall doctorPath doctorHost doctorAll
    clockSkew bundleLog shownStack`),
};

async function sources(): Promise<string> {
  const texts: string[] = [];
  for (const folder of ["actors", "cli", "client", "nodes", "protocol", "runtimes"]) {
    const directory = join(projectRoot(), folder);
    for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
      if (entry.isFile() && entry.name.endsWith(".ts") && entry.name !== "limits.ts")
        texts.push(await readFile(join(entry.parentPath, entry.name), "utf8"));
    }
  }
  return texts.join("\n");
}

const inTable = new Set<string>(Object.values(LIMIT_HITS));
const isCounted = (name: string, code: string): boolean =>
  inTable.has(name) ||
  code.includes(`"limit.${name}"`) ||
  code.includes(`limit: "${name}"`) ||
  (/[a-z][A-Z]/.test(name) && code.includes(`"${name}"`));

test("every limit counts its hits, or is listed with why it does not", async (t) => {
  const code = await sources();
  const listed = Object.values(UNCOUNTED).flat();
  const names = Object.keys(LIMITS);
  t.deepEqual(
    names.filter((name) => !isCounted(name, code) && !listed.includes(name)),
    [],
    "neither counted nor listed",
  );
  t.deepEqual(
    listed.filter((name) => !names.includes(name) || isCounted(name, code)),
    [],
    "listed, and counted or no limit",
  );
  t.is(new Set(listed).size, listed.length);
});

test("every limit is used somewhere", async (t) => {
  const code = await sources();
  const used = new Set(Array.from(code.matchAll(/\bLIMITS\.(\w+)/g), ([, name]) => name));
  for (const [, names] of code.matchAll(/\{ ([\w, ]+) \} = LIMITS\b/g)) for (const name of names?.split(", ") ?? []) used.add(name);
  // This one is part of BODY_LIMIT, beside the table.
  t.deepEqual(
    Object.keys(LIMITS).filter((name) => !used.has(name) && name !== "payloadReserve"),
    [],
  );
});

test("a deploy waits longer than a dead node counts as alive, and is asked for longer than it waits", (t) => {
  t.true(LIMITS.deployAcknowledge.value > LIMITS.hostSilence.value + LIMITS.nodeHeartbeat.value);
  t.true(deployFunction.timeoutMs > LIMITS.deployAcknowledge.value + LIMITS.grantLife.value);
});
