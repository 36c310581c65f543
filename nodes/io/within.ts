/** A deadline for what has none of its own. */

/** What the step gives, or an error that says `otherwise` and the time when it takes longer. The step itself goes on unheard. */
export async function within<T>(step: Promise<T>, limitMs: number, otherwise: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${otherwise} within ${limitMs} ms`)), limitMs);
  });
  try {
    return await Promise.race([step, late]);
  } finally {
    clearTimeout(timer);
  }
}
