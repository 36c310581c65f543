import test from "ava";
import { Strangers } from "../../../actors/kit/strangers.ts";
import { PROTOCOL, understands } from "../../../protocol/version.ts";
import { recordLog } from "../../support/record-log.ts";

test("a node of a far release is complained of once for each of its lives; a neighbour never", (t) => {
  const log = recordLog();
  const strangers = new Strangers(log);
  for (const protocol of [PROTOCOL - 1, PROTOCOL, PROTOCOL + 1]) strangers.heard("near", "e1", protocol);
  t.is(log.lines.length, 0);
  for (let nth = 0; nth < 3; nth++) strangers.heard("far", "e1", PROTOCOL + 2);
  t.is(log.lines.length, 1);
  strangers.heard("far", "e2", PROTOCOL + 2);
  t.is(log.lines.length, 2);
});

test("a node that does not say its protocol is of the first", (t) => {
  t.is(understands(undefined), understands(1));
});
