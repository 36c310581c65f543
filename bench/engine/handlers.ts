/** The functions that benchmarks deploy, as source text. */

/** Sends back the bytes it got. */
export const ECHO = `export const handler = async (event) => event;`;

/** Works for ten milliseconds without using the processor, then sends back what it got. */
export const TEN_MS = `export const handler = (event) => new Promise((resolve) => setTimeout(resolve, 10, event));`;

/** Waits as long as a JSON body says, then sends back what it got. `mark` makes it code that nobody has seen. */
export const waiting = (mark: string): string => `
const mark = ${JSON.stringify(mark)};
export const handler = async (event) => {
  if (event.waitMs > 0) await new Promise((resolve) => setTimeout(resolve, event.waitMs));
  return { mark, ...event };
};`;

/** The same in Python. */
export const waitingPython = (mark: string): string => `
import time
MARK = ${JSON.stringify(mark)}
def handler(event, context):
    if event.get("waitMs", 0) > 0:
        time.sleep(event["waitMs"] / 1000)
    return {"mark": MARK, **event}
`;

/** Node code of about a million bytes: many small functions of different text, all reachable, few of them called. */
export function large(mark: string, bytes = 1_000_000): string {
  const parts = [waiting(mark), "const table = {};"];
  let size = 0;
  for (let index = 0; size < bytes; index += 1) {
    const part = `table.f${index} = function (a, b) { const list = [a, b, ${index}]; let sum = 0; for (const one of list) sum += one * ${index % 97}; if (sum > ${index * 3}) return { sum, name: "function ${index}", list }; return table.f${Math.max(0, index - 1)}; };`;
    parts.push(part);
    size += part.length;
  }
  parts.push("export const count = () => Object.keys(table).length;", "export const first = table.f0(1, 2);");
  return parts.join("\n");
}
