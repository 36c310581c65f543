/**
 * Takes secrets out of text that leaves this machine.
 *
 * X1  Every secret that is known is removed wherever it stands, also as it looks inside JSON, in a URL, and in base64.
 * X2  What looks like one is removed too: seeds, tokens of three parts, passwords in URLs, values of fields that are named so.
 */

const STRUCK = "***";

/** Shorter ones would strike out half of every text, and protect nothing. */
const SHORTEST = 6;

const LOOKS: readonly (readonly [RegExp, string])[] = [
  // nkey seeds, of any kind
  [/\bS[ACNOUX][ACNOUX]?[A-Z2-7]{54,58}\b/g, STRUCK],
  [/\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}/g, STRUCK],
  [/-----BEGIN [A-Z ]+-----[\s\S]*?-----END [A-Z ]+-----/g, STRUCK],
  [/\b([a-z][a-z0-9+.-]*:\/\/)[^\s/@"']+@/gi, `$1${STRUCK}@`],
  [/\b(Bearer|Basic)\s+[\w+/=.~-]{6,}/gi, `$1 ${STRUCK}`],
  [
    /(["']?\b(?:pass|passwd|password|token|secret|authorization|credentials?|seed|jwt|nkey|api[_-]?key)["']?\s*[:=]\s*)("(?:[^"\\]|\\.)*"|'[^']*'|[^\s,;}"']+)/gi,
    `$1"${STRUCK}"`,
  ],
];

/** A function that scrubs one text. */
export function scrubber(secrets: readonly string[]): (text: string) => string {
  const known = [...new Set(secrets.flatMap(formsOf))].filter((secret) => secret.length >= SHORTEST).sort((a, b) => b.length - a.length);
  return (text) => {
    let clean = text;
    for (const secret of known) clean = clean.replaceAll(secret, STRUCK);
    for (const [look, instead] of LOOKS) clean = clean.replace(look, instead);
    return clean;
  };
}

function formsOf(secret: string): string[] {
  const lines = secret.split("\n").map((text) => text.trim());
  return [
    secret,
    // A file of several lines may be quoted line by line.
    ...(lines.length > 1 ? lines : []),
    JSON.stringify(secret).slice(1, -1),
    encodeURIComponent(secret),
    Buffer.from(secret).toString("base64"),
    Buffer.from(secret).toString("base64url"),
  ];
}
