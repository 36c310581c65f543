#!/usr/bin/env node
/** The command `pilot` inside the image: what scripts/pilot.mjs is in a checkout, with nothing left to install or build. */
import { main } from "/app/dist/pilot/main.js";

process.exit(await main(process.argv.slice(2)));
