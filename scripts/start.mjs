/** `npm start`: makes the checkout ready, starts everything, deploys and calls the examples. See cli/start.ts. */
import { prepare, ROOT } from "./prepare.mjs";

prepare();
const { start } = await import("../dist/cli/start.js");
process.exitCode = await start(process.argv.slice(2), ROOT);
