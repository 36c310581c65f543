import test from "ava";
import { BUSY_STAYS_MS, BUSY_WINDOW_MS, Classes } from "../../../actors/scheduler/classes.ts";
import { announcement } from "../../support/fleet.ts";

const counted = (calls: number, epoch = "e1") =>
  announcement({ epoch, functions: [{ account: "main", function: "echo", calls, meanRunMs: 1, queued: 0 }] });

test("a function without history is rare, and busy after its third call in ten seconds", (t) => {
  const classes = new Classes();
  t.is(classes.classOf("main.echo", 0), "rare");
  t.deepEqual(classes.announced(counted(1), 1_000), []);
  t.deepEqual(classes.announced(counted(2), 2_000), []);
  t.deepEqual(classes.announced(counted(3), 3_000), ["main.echo"]);
  t.is(classes.classOf("main.echo", 3_000), "busy");
});

test("three calls spread over more than ten seconds leave it rare", (t) => {
  const classes = new Classes();
  classes.announced(counted(1), 0);
  classes.announced(counted(2), 6_000);
  classes.announced(counted(3), BUSY_WINDOW_MS + 1);
  t.is(classes.classOf("main.echo", BUSY_WINDOW_MS + 1), "rare");
});

test("a repeated, lost or older announcement changes nothing, since counts are cumulative", (t) => {
  const classes = new Classes();
  for (let nth = 0; nth < 10; nth++) classes.announced(counted(2), nth);
  classes.announced(counted(1), 20);
  t.is(classes.classOf("main.echo", 20), "rare");
  classes.announced(counted(3), 30);
  t.is(classes.classOf("main.echo", 30), "busy");
});

test("it is rare again a minute after the last burst", (t) => {
  const classes = new Classes();
  classes.announced(counted(5), 1_000);
  t.is(classes.classOf("main.echo", 1_000 + BUSY_STAYS_MS - 1), "busy");
  t.is(classes.classOf("main.echo", 1_000 + BUSY_STAYS_MS), "rare");
});
