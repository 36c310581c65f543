/** A broker that keeps nothing, too little, or no more: without JetStream, with a full disk, without the code of a version. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { bundleSource } from "../../nodes/io/bundle/index.ts";
import { resolveConnection } from "../../nodes/io/context.ts";
import { up } from "../../nodes/up.ts";
import { Fault } from "../../protocol/errors.ts";
import { countRuns, PATIENCE_MS, servesAgain, WORK } from "../support/faults.ts";
import { serveForeign } from "../support/foreign-server.ts";
import { startPlatform } from "../support/platform.ts";
import { readLogs } from "../support/read-logs.ts";
import { temporaryDirectory } from "../support/temp.ts";
import { until } from "../support/until.ts";

const canMount = process.platform === "linux" && process.getuid?.() === 0;
const root = canMount ? test.serial : test.serial.skip;
const why = canMount ? "" : " (skipped: mounting needs root)";

const account = (jetstream: string) => `accounts {\n P {\n ${jetstream}\n users: [ { user: a, password: b } ]\n }\n}\n`;
for (const [what, config, said, next] of [
  ["that has no JetStream", account(""), /JetStream switched on/, /jetstream enabled/],
  [
    "whose JetStream is not for the account",
    `jetstream { store_dir: STORE }\n${account("")}`,
    /not enabled for the account/,
    /jetstream: enabled/,
  ],
  [
    "whose JetStream is too small",
    `jetstream { store_dir: STORE, max_file_store: 100M }\n${account("jetstream: enabled")}`,
    /too little room/,
    /max_file_store/,
  ],
  [
    "whose account may store too little",
    `jetstream { store_dir: STORE }\n${account("jetstream { max_file: 100M }")}`,
    /too little room/,
    /its account/,
  ],
  [
    "whose account may have too few streams",
    `jetstream { store_dir: STORE }\n${account("jetstream { max_streams: 3 }")}`,
    /too little room/,
    /how many streams/,
  ],
] as const) {
  test.serial(`a broker ${what} is refused before anything starts, with what to change`, async (t) => {
    const { url } = await serveForeign(t, `max_payload: 4194304\n${config}`);
    const server = await resolveConnection({ server: url, user: "a", password: "b" }, { PILOT_STATE_HOME: "/nowhere" });
    const store = join(await temporaryDirectory(t), "store");
    const fault = await t.throwsAsync(up({ server, store }), { instanceOf: Fault });
    t.is(fault?.name, "Unavailable");
    t.regex(fault?.message ?? "", said);
    t.regex(String((fault as Fault | undefined)?.details?.["next"]), next);
  });
}

root(
  `a broker whose disk is full: deploys end in a typed error, calls go on; when there is room it is started anew by itself, and all it had is there${why}`,
  async (t) => {
    t.timeout(180_000);
    const directory = await temporaryDirectory(t);
    const store = join(directory, "store");
    const data = join(store, "broker", "data");
    mkdirSync(data, { recursive: true, mode: 0o700 });
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=48m,mode=700", "tmpfs", data]);
    t.teardown(() => execFileSync("umount", ["-l", data]));
    const said: string[] = [];
    const platform = await startPlatform(
      { temporary: false, store, warm: { node: 2, python: 0 }, say: (sentence) => said.push(sentence) },
      t,
    );
    const runs = await countRuns(platform);
    await platform.deploy("before", WORK);
    await platform.deploy(
      "keeper",
      "export const handler = async (event, context) => { console.log('kept'); await context.kv.put('k', { n: 7 }); }",
    );
    await platform.deploy("reader", "export const handler = async (event, context) => context.kv.get('k')");
    await servesAgain(platform, "before", 0);
    await servesAgain(platform, "keeper", 0);
    await until(async () => (await readLogs(platform.operator, "main", "keeper")).length > 0, "the log of a function", PATIENCE_MS);

    const filler = join(data, "filler");
    try {
      writeFileSync(filler, Buffer.alloc(64 << 20));
    } catch {
      // It is full now, as intended.
    }
    t.is(statfsSync(data).bavail, 0);
    const began = performance.now();
    let refused: Fault | undefined;
    for (let nth = 0; nth < 20 && refused === undefined; nth++)
      await platform
        .deploy(`later${nth}`, `${WORK}\n// ${"x".repeat(10_000)} ${nth}`)
        .catch((thrown: unknown) => (refused = Fault.from(thrown)));
    t.is(refused?.name, "Unavailable", "a deploy cannot be kept");
    t.regex(refused?.message ?? "", /disk/);
    t.regex(String(refused?.details?.["next"]), /Make room/);
    t.log(`seen: a deploy refused ${Math.round(performance.now() - began)} ms after the disk was full`);
    for (let n = 1; n <= 100; n++) {
      const ended = await platform.call("before", { n }, {}, PATIENCE_MS);
      t.is(ended.error, undefined, ended.message);
    }
    // A new function of code that is known, and a body that is not: nothing of it is on the path of calls.
    t.deepEqual((await platform.call("reader")).value, { n: 7 });
    await until(() => said.some((one) => /disk is full/.test(one)), "word of the full disk", PATIENCE_MS);

    const freed = performance.now();
    rmSync(filler);
    const works = async (): Promise<boolean> => {
      await platform.deploy("after", `${WORK}\n// ${Math.random()}`);
      return (await platform.call("after", { n: 200 })).error === undefined;
    };
    await until(() => works().catch(() => false), "deploys to work again", PATIENCE_MS);
    t.log(`seen: deploys again ${Math.round(performance.now() - freed)} ms after there was room`);
    t.true(
      said.some((one) => /room again/.test(one)),
      said.join("\n"),
    );
    for (const name of ["before", "keeper"]) await servesAgain(platform, name, 201);
    t.deepEqual((await platform.call("reader")).value, { n: 7 });
    t.true((await readLogs(platform.operator, "main", "keeper")).length > 0, "what was logged before is there");
    t.deepEqual(
      [...runs].filter(([n, count]) => n !== 0 && n < 200 && count !== 1),
      [],
    );
    const log = readFileSync(join(store, "logs", "host-1.log"), "utf8");
    t.notRegex(log, /"level":60/, "no node died of it");
  },
);

test.serial(
  "code that is missing in the store under a deployed version: hosts that have it go on, others end as CodeUnavailable, and a deploy repairs it",
  async (t) => {
    t.timeout(120_000);
    const platform = await startPlatform({ warm: { node: 2, python: 0 } }, t);
    const source = `${WORK}\n// its own`;
    const { digest } = await bundleSource(source, "node");
    await platform.deploy("cached", source);
    await servesAgain(platform, "cached", 1);
    const fresh = `${WORK}\n// never called`;
    const { digest: other } = await bundleSource(fresh, "node");
    await platform.deploy("fresh", fresh);
    const manager = await platform.operator.nc.jetstreamManager();
    // As an operator would who clears up by hand, or a store that was restored without it.
    for (const one of [digest, other]) {
      const name = Buffer.from(one).toString("base64");
      await manager.streams.purge("OBJ_pilot_code", { filter: `$O.pilot_code.M.${name}` });
      await manager.streams.purge("OBJ_pilot_code", { filter: `$O.pilot_code.C.${one}` });
    }
    for (let n = 2; n < 6; n++) t.is((await platform.call("cached", { n })).error, undefined);
    const ended = await platform.call("fresh", { n: 10 }, {}, PATIENCE_MS);
    t.is(ended.error, "CodeUnavailable", ended.message);
    t.is((await platform.call("cached", { n: 6 })).error, undefined, "others do not notice");
    await platform.deploy("fresh", fresh);
    await servesAgain(platform, "fresh", 11);
  },
);
