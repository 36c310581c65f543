/** A strict reader of the text format of Prometheus: gives what is wrong, one sentence each. */

const NAME = "[a-zA-Z_:][a-zA-Z0-9_:]*";
const LABEL = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\\\\\|\\\\"|\\\\n)*"';
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(${LABEL}(?:,${LABEL})*)?\\})? ([^ ]+)$`, "u");
const NUMBER = /^(?:[+-]?Inf|NaN|[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/;

export function checkMetricsText(text: string): string[] {
  const wrong: string[] = [];
  const types = new Map<string, string>();
  const helped = new Set<string>();
  const seen = new Set<string>();
  const done = new Set<string>();
  const buckets = new Map<string, number[]>();
  let current = "";
  if (!text.endsWith("\n")) wrong.push("the last line has no end");
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const comment = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line);
    if (comment !== null) {
      const [, kind, name = "", rest = ""] = comment;
      if (kind === "HELP") {
        if (helped.has(name)) wrong.push(`${name} has two helps`);
        helped.add(name);
        continue;
      }
      if (types.has(name)) wrong.push(`${name} has two types`);
      if (!["counter", "gauge", "histogram"].includes(rest)) wrong.push(`${name} has the type ${rest}`);
      if (rest === "counter" && !name.endsWith("_total")) wrong.push(`the counter ${name} does not end in _total`);
      types.set(name, rest);
      done.add(current);
      current = name;
      continue;
    }
    const sample = SAMPLE.exec(line);
    if (sample === null) {
      wrong.push(`no sample: ${line}`);
      continue;
    }
    const [, name = "", labels = "", value = ""] = sample;
    const family = types.get(current) === "histogram" ? name.replace(/_(?:bucket|sum|count)$/, "") : name;
    if (family !== current) wrong.push(`${name} stands under ${current}`);
    if (!helped.has(family)) wrong.push(`${family} has no help`);
    if (done.has(family)) wrong.push(`${family} is in two places`);
    if (!NUMBER.test(value)) wrong.push(`${name} has the value ${value}`);
    const names = [...labels.matchAll(/([a-zA-Z_][a-zA-Z0-9_]*)="/g)].map(([, label]) => label);
    const own = labels.match(new RegExp(LABEL, "gu")) ?? [];
    if (new Set(own.map((label) => label.slice(0, label.indexOf("=")))).size !== own.length) wrong.push(`${name} has a label twice`);
    if (names.length === 0 && labels !== "") wrong.push(`${name} has malformed labels`);
    const key = `${name}{${[...own].sort().join()}}`;
    if (seen.has(key)) wrong.push(`${key} is there twice`);
    seen.add(key);
    if (!name.endsWith("_bucket")) continue;
    const group = `${family}{${own.filter((label) => !label.startsWith("le=")).join()}}`;
    const before = buckets.get(group) ?? [];
    if (Number(value) < (before.at(-1) ?? 0)) wrong.push(`the buckets of ${group} fall`);
    buckets.set(group, [...before, Number(value)]);
  }
  return wrong;
}
