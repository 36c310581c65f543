/** `npm start`: makes the checkout ready, starts everything, deploys and calls the examples. See cli/start.ts. */
import { prepare, ROOT } from "./prepare.mjs";

prepare();
const { start } = await import("../dist/cli/start.js");
const code = await start(process.argv.slice(2), ROOT);
// Everything has ended; a request of the tour that nobody answers any more must not hold the terminal.
process.stdout.write("", () => process.exit(code));
