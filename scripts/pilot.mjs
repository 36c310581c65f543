#!/usr/bin/env node
/** The command `pilot`: makes the checkout ready when it is not, then runs cli/. */
import { prepare } from "./prepare.mjs";

prepare();
const { main } = await import("../dist/pilot/main.js");
// What was written is flushed; an unfinished read of the terminal must not hold it.
process.exit(await main(process.argv.slice(2)));
