/** The first word of a container: one `ready` frame, in time, or it is not handed out. */
import { Fault } from "../../../protocol/errors.ts";
import { FRAME, type Frame } from "../../../protocol/frames.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import type { Body } from "./body.ts";

export interface Ready {
  readonly runtime: string;
  readonly pid: number;
  readonly token: string;
}

/** Reads a ready frame; undefined for anything else. */
export function readReady(frame: Frame): Ready | undefined {
  if (frame.type !== FRAME.ready) return undefined;
  try {
    const said = JSON.parse(Buffer.from(frame.extra).toString("utf8")) as Record<string, unknown>;
    const { runtime, pid, token } = said;
    return {
      runtime: typeof runtime === "string" ? runtime.slice(0, 64) : "unknown",
      pid: typeof pid === "number" && Number.isSafeInteger(pid) ? pid : 0,
      token: typeof token === "string" ? token : "",
    };
  } catch {
    return undefined;
  }
}

/** Resolves with the ready frame of a body. Rejects with BootFailed, and its last output, when it ends or dawdles; it is then gone. */
export async function untilReady(body: Body, also: Promise<void>): Promise<Ready> {
  let timer: NodeJS.Timeout | undefined;
  let isLate = false;
  const ready = new Promise<Ready>((resolve, reject) => {
    const fail = (what: string): void => reject(new Error(what));
    timer = setTimeout(() => {
      isLate = true;
      fail(`was not ready after ${LIMITS.boot.value} ms`);
    }, LIMITS.boot.value);
    body.onFrame = (frame) => {
      const said = readReady(frame);
      if (said === undefined) fail(`began with frame ${frame.type} instead of ready`);
      else resolve(said);
      body.onFrame = () => {};
    };
    body.onClosed = (why) => why.kind === "broken" && fail(`broke the protocol: ${why.detail}`);
    void body.gone.then((gone) =>
      fail(gone.lost ? "was lost with the spawner" : `ended (${gone.error ?? gone.signal ?? `exit ${gone.code}`})`),
    );
  });
  try {
    const [said] = await Promise.all([ready, Promise.race([also, body.gone])]);
    if (body.over) throw new Error("ended");
    return said;
  } catch (error) {
    body.kill();
    const { output } = await body.gone;
    const tail = output.trim();
    throw new Fault(
      "BootFailed",
      `The sandbox ${(error as Error).message}.${tail === "" ? "" : ` Its last output: ${tail}`}`,
      isLate ? { limit: "boot" } : undefined,
      error,
    );
  } finally {
    clearTimeout(timer);
    body.onClosed = () => {};
  }
}
