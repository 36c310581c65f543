/**
 * `node dist/scripts/golden.js FILE`: writes the wire vectors of the present code. To be run once for each release, from its code,
 * with FILE test/protocol/golden/v<protocol>.json; a file that is there is never changed (decision 0022).
 */
import { writeFile } from "node:fs/promises";
import { PROTOCOL, VERSION } from "../protocol/version.ts";
import { makeGolden } from "../test/protocol/golden/vectors.ts";

const [, , file] = process.argv;
if (file === undefined) throw new Error("which file?");
const parts = Object.entries(await makeGolden(PROTOCOL, VERSION)).map(([name, part]) => `${JSON.stringify(name)}: ${JSON.stringify(part)}`);
await writeFile(file, `{\n${parts.join(",\n")}\n}\n`, { flag: "wx" });
