import test from "ava";
import { readStartOptions } from "../../cli/tour/options.ts";

test("npm start takes a store, a port, and once", (t) => {
  t.deepEqual(readStartOptions([]), { store: undefined, port: 0, once: false });
  t.deepEqual(readStartOptions(["--store", "my dir", "--port", "4300", "--once"]), { store: "my dir", port: 4300, once: true });
  t.deepEqual(readStartOptions(["-h"]), { help: true });
});

test("npm start refuses what makes no sense, and says what", (t) => {
  for (const words of [["--prot", "1"], ["--port", "x"], ["--port", "65536"], ["--port"], ["--store", ""], ["more"]]) {
    t.true("wrong" in readStartOptions(words), words.join(" "));
  }
});
