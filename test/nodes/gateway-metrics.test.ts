/** Who may read the metrics of a gateway. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { readHttpAddress } from "../../actors/gateway/address.ts";
import { metricsRoute } from "../../nodes/gateway/metrics.ts";
import { openHttp } from "../../nodes/io/http.ts";
import { readTokens, type TokenCheck } from "../../nodes/io/http-token.ts";
import { metricsText } from "../../nodes/io/metrics-text.ts";
import { recordLog } from "../support/record-log.ts";
import { temporaryDirectory } from "../support/temp.ts";

const CALLERS = "a-token-for-all-who-call";
const METRICS = "a-token-for-prometheus-only";

async function tokens(t: ExecutionContext, text: string): Promise<TokenCheck> {
  const path = join(await temporaryDirectory(t), "token");
  await writeFile(path, text);
  return readTokens(path);
}

async function serve(t: ExecutionContext, callers: TokenCheck | undefined, metrics: TokenCheck | undefined) {
  const routes = [metricsRoute(() => metricsText({ nodes: [], silent: [] }), { callers, metrics })];
  const server = await openHttp({ address: readHttpAddress("127.0.0.1:0"), token: callers, routes, log: recordLog() });
  t.teardown(() => server.stop());
  return async (token?: string, more: Record<string, string> = {}) => {
    const headers = { ...more, ...(token !== undefined && { authorization: `Bearer ${token}` }) };
    const answer = await fetch(`${server.url}/metrics`, { headers });
    return { status: answer.status, text: await answer.text() };
  };
}

test("where callers need a token, metrics need another, and that of callers does not show them", async (t) => {
  const ask = await serve(t, await tokens(t, CALLERS), await tokens(t, METRICS));
  t.is((await ask(METRICS)).status, 200);
  t.is((await ask(CALLERS)).status, 401);
  t.is((await ask()).status, 401);
});

test("where callers need a token and metrics have none, nobody reads them, and it is said what to do", async (t) => {
  const ask = await serve(t, await tokens(t, CALLERS), undefined);
  t.is((await ask()).status, 401);
  const { status, text } = await ask(CALLERS);
  t.is(status, 403);
  t.regex((JSON.parse(text) as { next: string }).next, /--metrics-token/);
});

test("where callers need none, metrics need none unless they have one", async (t) => {
  const open = await serve(t, undefined, undefined);
  t.is((await open()).status, 200);
  t.is((await open(undefined, { origin: "http://elsewhere.example" })).status, 403);
  const closed = await serve(t, undefined, await tokens(t, METRICS));
  t.is((await closed()).status, 401);
  t.is((await closed(METRICS)).status, 200);
});
