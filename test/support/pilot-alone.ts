/** The command `pilot` in a process of its own, without the preparing: `node pilot-alone.js invoke …`. */
import { main } from "../../cli/main.ts";

process.exit(await main(process.argv.slice(2)));
