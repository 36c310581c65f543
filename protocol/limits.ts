/**
 * Every bound of the system, once. `pilot limits` prints this table; `docs/limits.md` is generated from it.
 * Times are milliseconds, sizes bytes, unless the unit says otherwise.
 */

export interface Limit {
  readonly value: number;
  readonly unit: "ms" | "bytes" | "MB" | "count";
  /** What is bounded, and what happens at the bound. */
  readonly meaning: string;
}

const limit = (value: number, unit: Limit["unit"], meaning: string): Limit => ({ value, unit, meaning });

const KiB = 1024;
const MiB = 1024 * KiB;

export const LIMITS = {
  // the edge
  brokerPayload: limit(4 * MiB, "bytes", "largest NATS message; the broker refuses larger ones"),
  payloadReserve: limit(16 * KiB, "bytes", "room kept for heads and headers; a body may have brokerPayload minus this, else PayloadTooLarge"),
  replySubject: limit(256, "bytes", "longest reply subject that is answered; a longer one is dropped and counted"),
  callHeaders: limit(16, "count", "Pilot- headers on one call, else BadRequest"),
  // time
  waitForPlace: limit(3_000, "ms", "how long a call may wait for a place, unless Pilot-Deadline says otherwise, else Throttled"),
  timeoutDefault: limit(30_000, "ms", "run time of a call when the function names none, else TimedOut"),
  timeoutMax: limit(900_000, "ms", "longest run time that can be asked for, else BadRequest"),
  hostSilence: limit(2_000, "ms", "a host unheard for this long (of time in which the judge itself was connected) is declared lost"),
  absentHost: limit(2_000, "ms", "how long a call waits and tries a host that looks absent (503) before another is chosen"),
  nodeHeartbeat: limit(500, "ms", "how often a node announces itself when nothing changes"),
  announceEvery: limit(20, "ms", "shortest time between two announcements or reports of one node"),
  grantLife: limit(5_000, "ms", "how long a grant lives unless renewed"),
  grantRenewal: limit(1_500, "ms", "how often a grant is renewed"),
  deployAcknowledge: limit(2_000, "ms", "how long deploy waits for frontends and hosts to leave the old version"),
  absentName: limit(1_000, "ms", "how long a frontend remembers that a function does not exist"),
  lostDirectCall: limit(250, "ms", "age from which a direct call is reported to the keeper, which speaks for it if the host dies"),
  boot: limit(15_000, "ms", "how long a box may take to boot, else it is killed and BootFailed"),
  load: limit(10_000, "ms", "how long a container may take to load code, else HandlerError"),
  store: limit(30_000, "ms", "how long one chunk of code may take to be stored, else Unavailable"),
  drain: limit(10_000, "ms", "how long an orderly stop waits for running calls"),
  control: limit(5_000, "ms", "how long a control request waits for its answer"),
  clockGap: limit(1_000, "ms", "an agent that slept longer than this drops the calls that piled up meanwhile"),
  watchdogSilence: limit(2_000, "ms", "a node whose event loop is silent for this long is killed by its supervisor"),
  // queues
  waitingCalls: limit(10_000, "count", "calls waiting at a keeper per function, else Throttled"),
  waitingBytes: limit(256 * MiB, "bytes", "bodies waiting at a keeper in all, else Throttled"),
  heldBytes: limit(256 * MiB, "bytes", "bodies a frontend holds until a host has taken them, else Throttled"),
  hostQueue: limit(1_024, "count", "calls waiting inside a host per function; what is over it is handed to the keeper"),
  hostQueueBytes: limit(256 * MiB, "bytes", "bodies waiting inside a host in all; what is over it is handed to the keeper"),
  absentNames: limit(10_000, "count", "names a frontend remembers as absent; the oldest is forgotten"),
  seenCalls: limit(65_536, "count", "call ids a host remembers to refuse a second placement; the oldest is forgotten"),
  attempts: limit(8, "count", "placements of one call before it is given up as Throttled or InstanceLost"),
  chainDepth: limit(16, "count", "depth of nested calls, else ChainTooDeep"),
  // functions
  bundle: limit(64 * MiB, "bytes", "largest bundle of a function, else BundleTooLarge"),
  inlineSource: limit(256 * KiB, "bytes", "largest source inside a request, else PayloadTooLarge"),
  bundleFiles: limit(20_000, "count", "files and directories that one bundle is made of, else BundleTooLarge"),
  bundleTime: limit(60_000, "ms", "how long making a bundle may take, else BadCode"),
  bundleWarnings: limit(20, "count", "warnings of one deploy; further ones are only counted"),
  mappings: limit(4 * MiB, "bytes", "longest mapping text of a source map that a host decodes; stacks of larger ones keep the bundle's lines"),
  stack: limit(32 * KiB, "bytes", "longest stack that is mapped; the rest is cut"),
  sourceMap: limit(32 * MiB, "bytes", "largest source map; a larger one is left out and said so"),
  environment: limit(32 * KiB, "bytes", "environment variables of a function together, else BadRequest"),
  memoryMin: limit(32, "MB", "smallest memory amount"),
  memoryMax: limit(16_384, "MB", "largest memory amount that can be asked for; hosts may have less"),
  memoryDefault: limit(128, "MB", "memory amount of a function that names none"),
  containersPerFunction: limit(1_000, "count", "containers of one function, unless the function says less"),
  containersPerAccount: limit(1_000, "count", "containers of one account, unless the account says less, else calls wait"),
  versions: limit(1_000, "count", "versions kept of a function; the oldest unreferenced is removed"),
  aliases: limit(64, "count", "aliases of a function"),
  // registry
  registryAttempts: limit(64, "count", "tries of one write when others change the same record, else Conflict"),
  registryReads: limit(256, "count", "reads of unknown names that one node has open, else Throttled"),
  versionsCached: limit(2_048, "count", "version records in a node's memory; the least recently used is forgotten"),
  versionsShown: limit(100, "count", "versions that one answer describes; the newest come first"),
  poolTargets: limit(64, "count", "configurations with a warm number, else BadRequest"),
  confirmRetry: limit(100, "ms", "pause before a live node that could not be reached is asked again to confirm a change"),
  // inside a container
  frameExtra: limit(60 * KiB, "bytes", "largest extra part of a frame; a larger one ends the container"),
  framePayload: limit(64 * MiB, "bytes", "largest payload of a frame; a larger one ends the container"),
  logLine: limit(8 * KiB, "bytes", "longest log line; the rest is cut"),
  logPerCall: limit(256 * KiB, "bytes", "log output of one call; the rest is dropped and said so"),
  requestsInFlight: limit(64, "count", "context.call, publish and kv requests one container may have open, else Throttled"),
  processes: limit(64, "count", "processes and threads of one container"),
  scratch: limit(256 * MiB, "bytes", "writable files of one container (in memory)"),
  sharedMemory: limit(64 * MiB, "bytes", "shared memory files (/dev/shm) of one box, beside its scratch"),
  channelBacklog: limit(128 * MiB, "bytes", "bytes waiting to be read by a container; one that reads no more is ended"),
  channelGrace: limit(250, "ms", "how long a container whose channel closed may take to exit by itself before it is killed"),
  outputTail: limit(4 * KiB, "bytes", "end of what a box writes outside its channel that is kept for crash messages"),
  outputRate: limit(1_024 * KiB, "bytes", "output outside the channel that is read per box and second; a flood waits"),
  lastOutput: limit(50, "ms", "how long the last output of an ended box is waited for"),
  keepAlive: limit(600_000, "ms", "how long an idle container is kept, unless the function says otherwise"),
  // host
  waitingBoots: limit(10_000, "count", "boots waiting for a core, else BootFailed"),
  instanceSlots: limit(10_000, "count", "instances of one host, each with its own user id, else BootFailed"),
  spawnerStarts: limit(5, "count", "attempts to start a spawner before the host gives up, else BootFailed"),
  spawnerBeat: limit(1_000, "ms", "how often a spawner is asked for a sign of life"),
  spawnerSilence: limit(5_000, "ms", "a spawner that says nothing for this long is killed and replaced; every container ends with it"),
  clear: limit(10_000, "ms", "how long the processes and groups of an ended container may take to vanish before it is reported"),
  memoryLook: limit(200, "ms", "how often memory is looked at where there are no control groups"),
  codeCache: limit(2_048 * MiB, "bytes", "code on a host's disk; the least recently used is removed"),
  codeSmall: limit(1 * MiB, "bytes", "a bundle up to this size is kept in a host's memory too and sent by frame; a larger one is a file"),
  codeInMemory: limit(64 * MiB, "bytes", "small bundles and V8 cached data in a host's memory; the least recently used is forgotten"),
  cachedData: limit(16 * MiB, "bytes", "largest V8 cached data of one bundle; larger is not kept"),
  boxMemory: limit(32, "MB", "what a booted box counts against its host's memory, beside the amounts of containers"),
  bootAttempts: limit(3, "count", "boots of one container that calls wait for, else BootFailed"),
  bootRetryMin: limit(100, "ms", "wait before a failed boot is tried again; doubled with each further one"),
  bootRetryMax: limit(10_000, "ms", "longest wait before a failed boot is tried again"),
  functionsKept: limit(10_000, "count", "function versions whose counters a host keeps; the oldest is forgotten"),
  versionsKept: limit(10_000, "count", "version records a host keeps in memory; the oldest is forgotten"),
  codeKeys: limit(1_000, "count", "function versions that one instance remembers to have loaded; the oldest is forgotten"),
  callsRemembered: limit(4_096, "count", "finished calls whose record a host can still show; the oldest is forgotten"),
  recordsEvery: limit(50, "ms", "how often call records and log lines leave a host"),
  errorBody: limit(64 * KiB, "bytes", "body of an error reply; stack and message are cut"),
  deadlineSweep: limit(10, "ms", "how often a host looks for runs over their time limit"),
  hostTick: limit(250, "ms", "how often a host looks for idle containers, expired grants and waiting calls, and gaps of its clock"),
  pileUp: limit(50, "ms", "how long after a gap of its clock a host drops direct calls and refuses orders: what piled up meanwhile"),
  drainAnnounced: limit(1_000, "ms", "how long a host is announced as draining before it leaves its subject"),
  handedOn: limit(10_000, "count", "calls a host has handed on and holds until they are taken, else Throttled"),
  lateReplies: limit(10_000, "count", "answers a host keeps while its connection is lost; what is over it is dropped and counted"),
  lateReplyBytes: limit(64 * MiB, "bytes", "answers a host keeps while its connection is lost; what is over it is dropped and counted"),
  publishSubject: limit(256, "bytes", "subject of context.publish, else BadRequest"),
  dataKey: limit(256, "bytes", "key of context.kv, else BadRequest"),
  logRate: limit(1_024 * KiB, "bytes", "log output of one host per second that is kept; the rest is dropped and counted"),
  callRecords: limit(2_000, "count", "call records of one host per second that are kept; traced and failed calls come first"),
  callsKept: limit(256 * MiB, "bytes", "call log in the broker; the oldest go first"),
  logsKept: limit(256 * MiB, "bytes", "function logs in the broker; the oldest go first"),
  recordsLife: limit(7 * 86_400_000, "ms", "age at which call records and logs go from the broker"),
  inlineLife: limit(3_600_000, "ms", "age at which code that came inside a request goes from the object store"),
  storageWait: limit(20_000, "ms", "how long a node that starts waits for buckets that a scheduler still has to make"),
  watchRetry: limit(250, "ms", "pause before a watch of a bucket that ended is begun again"),
  // the broker that we start, and the supervisor
  brokerPending: limit(256 * MiB, "bytes", "what may wait in the broker for one connection, else the connection is dropped; as much as a frontend may hold"),
  brokerSubscriptions: limit(8_192, "count", "subscriptions of one connection; the broker refuses further ones"),
  brokerConnections: limit(16_384, "count", "connections to the broker; further ones are refused"),
  brokerFiles: limit(8_192 * MiB, "bytes", "everything that is stored in the broker on disk, else writes are refused"),
  brokerMemory: limit(256 * MiB, "bytes", "everything that is stored in the broker in memory, else writes are refused"),
  brokerLog: limit(8 * MiB, "bytes", "log file of the broker; one older file is kept"),
  brokerProbe: limit(5_000, "ms", "how long a server may take to say its version or to greet a client"),
  brokerDownload: limit(120_000, "ms", "how long fetching a nats-server may take"),
  brokerStart: limit(20_000, "ms", "how long the broker may take until it accepts a client, else it is killed"),
  brokerStop: limit(5_000, "ms", "how long the broker may take to stop, else it is killed"),
  nodeStart: limit(30_000, "ms", "how long a node may take until it is ready, else it is killed"),
  drainLeast: limit(1_000, "ms", "what each process may take to stop even when the others have used up `drain`, else it is killed"),
  nodeBeat: limit(250, "ms", "how often a node tells its supervisor that its event loop runs"),
  nodeLog: limit(8 * MiB, "bytes", "log file of one node; one older file is kept"),
  restarts: limit(5, "count", "restarts of one node within restartWindow; one more and the whole form stops with its last log lines"),
  restartWindow: limit(30_000, "ms", "the window in which restarts are counted"),
  restartDelayMin: limit(100, "ms", "wait before the first restart; doubled with each further one in the window"),
  restartDelayMax: limit(3_000, "ms", "longest wait before a restart"),
  // commands
  replyGrace: limit(2_000, "ms", "what a command waits for a reply beyond the call's own deadline and time limit, else InstanceLost"),
  doctorPing: limit(1_000, "ms", "how long doctor waits for nodes to answer $SRV.PING"),
  doctorCall: limit(20_000, "ms", "how long doctor waits for the answer of its canary, else the check fails"),
  shownStack: limit(40, "count", "lines of a function's stack that a command shows; the rest is left out"),
} as const satisfies Record<string, Limit>;

/** Largest body of a call or result in bytes. */
export const BODY_LIMIT = LIMITS.brokerPayload.value - LIMITS.payloadReserve.value;
