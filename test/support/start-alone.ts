/** `npm start` without the preparing: `node start-alone.js [--once] …`. */
import { fileURLToPath } from "node:url";
import { start } from "../../cli/start.ts";

const root = process.env["PILOT_ROOT"] ?? fileURLToPath(new URL("../../..", import.meta.url));
const code = await start(process.argv.slice(2), root);
process.stdout.write("", () => process.exit(code));
