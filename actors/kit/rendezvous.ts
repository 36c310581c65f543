/**
 * Rendezvous (highest random weight) hashing after Thaler and Ravishankar, 1998: each key goes to the member with the
 * highest hash of (key, member); when one leaves, only its own keys move.
 */

/** FNV-1a, 32 bits, with a final mix so that similar texts differ in the high bits too. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) {
    value ^= text.charCodeAt(at);
    value = Math.imul(value, 0x01000193);
  }
  value ^= value >>> 16;
  value = Math.imul(value, 0x85ebca6b);
  value ^= value >>> 13;
  return value >>> 0;
}

/** The member for a key, or undefined when there is none. Equal weights go to the smaller name. */
export function rendezvous(key: string, members: readonly string[]): string | undefined {
  let best: string | undefined;
  let weight = -1;
  for (const member of members) {
    const own = hash(`${key}|${member}`);
    if (own > weight || (own === weight && best !== undefined && member < best)) {
      best = member;
      weight = own;
    }
  }
  return best;
}
