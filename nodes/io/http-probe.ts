/** Asks a gateway over HTTP, as curl would, for `pilot doctor`. */

export interface HttpProbe {
  /** 0: nobody was reached at the address; `text` says why. */
  readonly status: number;
  readonly text: string;
}

/** Never rejects. `body`: it is posted; without one the path is read. */
export async function probeHttp(url: string, limitMs: number, body?: string): Promise<HttpProbe> {
  try {
    const answered = await fetch(url, {
      ...(body !== undefined && { method: "POST", body }),
      signal: AbortSignal.timeout(limitMs),
      redirect: "error",
    });
    return { status: answered.status, text: await answered.text() };
  } catch (thrown) {
    const cause = thrown instanceof Error && thrown.cause instanceof Error ? thrown.cause : thrown;
    return { status: 0, text: cause instanceof Error ? cause.message : String(cause) };
  }
}
