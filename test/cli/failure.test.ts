/** Exit codes and texts of failures. */
import test from "ava";
import { exitCodeOf, explain, Interrupted, printable, Usage } from "../../cli/failure.ts";
import { ERRORS, type ErrorName, Fault } from "../../protocol/errors.ts";

const names = Object.keys(ERRORS) as ErrorName[];

test("the exit code says whose fault it was, for every error there is", (t) => {
  for (const name of names) t.is(exitCodeOf(new Fault(name, "x")), ERRORS[name].fault === "platform" ? 3 : 1, name);
  t.is(exitCodeOf(new Usage("x")), 2);
  t.is(exitCodeOf(new Interrupted("x")), 130);
  t.is(exitCodeOf(new TypeError("a bug")), 3);
});

test("a failure says what happened, whose fault it is and what to do next", (t) => {
  for (const name of names) {
    const lines = explain(new Fault(name, "this happened"), false).split("\n");
    t.is(lines.length, 3, name);
    t.regex(lines[0] ?? "", new RegExp(`^pilot: ${name} \\(\\d+\\): this happened$`));
    t.regex(lines[1] ?? "", /^ {2}fault: the (request|function|platform); /);
    t.true(lines[2]?.includes(ERRORS[name].cure));
  }
});

test("our own stack is shown only to those who debug us", (t) => {
  const bug = new TypeError("a bug");
  t.notRegex(explain(bug, false), / at /);
  t.regex(explain(bug, true), / at /);
});

test("what a function says cannot rewrite the terminal", (t) => {
  t.is(printable("a\u001b[2Jb\u0007\r\u009bc\n\td"), "a\\x1b[2Jb\\x07\\x0d\\x9bc\n\td");
});
