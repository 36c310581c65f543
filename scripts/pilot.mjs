#!/usr/bin/env node
/** The command `pilot`: makes the checkout ready when it is not, then runs cli/. */
import { prepare } from "./prepare.mjs";

prepare();
const { main } = await import("../dist/pilot/main.js");
process.exitCode = await main(process.argv.slice(2));
