/*
 * Selective disclosure (draft-ietf-spice-sd-cwt-09), the holder's side: what of a card can be kept
 * back, and what of it a place is shown.
 *
 * Exports: `listed`, `restored`, `chosen`, `ageOf`. Errors: `bad_credential`, `malformed`.
 *
 * Rules, those of the gate (`agent.credential.disclosure`):
 * - digests stand inside claim 169 and inside the ages, and nowhere else;
 * - each is of 32 bytes and stands once, each disclosure fits one and none is left over; it has a salt
 *   of 16 to 64 bytes, and names no member that its map has already;
 * - 32 disclosures and 64 digests at most;
 * - a place is shown what it asks for, by the words `birth-date`, `face`, `finger`, `name`, `age-N`;
 *   of ages the lowest that answers. A place that asks for nothing in particular is shown face,
 *   finger and ages; a word that is not known shows nothing;
 * - what is inside a member goes with it.
 */

import { REDACTED, Tagged, decode, encode, hex } from "./codec.js";
import { WalletError } from "./errors.js";

const IDENTITY = 169;
const AGES = -65542;
const BIRTH_DATE = 8;
const FACE = 62;
const MOST_DISCLOSURES = 32;
const MOST_DIGESTS = 64;
const DEPTH = 8;

const bad = (what) => {
  throw new WalletError("bad_credential", { what });
};

/** Return the age that a word asks for, or null. */
export const ageOf = (word) => (/^age-[1-9][0-9]{0,2}$/.test(word) ? Number(word.slice(4)) : null);

/** Return digest (hexadecimal) -> disclosure of the unprotected header's list, in its order. */
export async function listed(list) {
  if (list === undefined) return new Map();
  if (!Array.isArray(list) || list.length < 1 || list.length > MOST_DISCLOSURES) bad("disclosures");
  const found = new Map();
  for (const bytes of list) {
    if (!(bytes instanceof Uint8Array)) bad("a disclosure that is no byte string");
    const digest = hex(new Uint8Array(await crypto.subtle.digest("SHA-256", encode(bytes))));
    if (found.has(digest)) bad("a disclosure twice");
    found.set(digest, bytes);
  }
  return found;
}

/**
 * Put disclosures back into claims.
 *
 * @param {Map} claims as they were signed
 * @param {Map<string, Uint8Array>} disclosures as `listed` returned them
 * @returns {{claims: Map, digests: number, parts: Map<string, string>}} `parts` says of each
 *   disclosure's digest under which word it is asked for, "" for none
 */
export function restored(claims, disclosures) {
  const parts = new Map();
  const digests = new Set();

  const taken = (digest, length) => {
    if (!(digest instanceof Uint8Array) || digest.length !== 32) bad("a digest");
    const name = hex(digest);
    if (digests.has(name)) bad("a digest twice");
    digests.add(name);
    if (digests.size > MOST_DIGESTS) bad("too many digests");
    if (!disclosures.has(name)) return null;
    const found = decode(disclosures.get(name), { redacted: true });
    if (!Array.isArray(found) || found.length !== length) bad("a disclosure of something else");
    const [salt] = found;
    if (!(salt instanceof Uint8Array) || salt.length < 16 || salt.length > 64) bad("a salt");
    return { name, found };
  };
  const walk = (value, depth, word) => {
    if (depth > DEPTH) bad("nested too deep");
    if (value instanceof Map) return members(value, depth, word);
    if (Array.isArray(value)) return elements(value, depth, word);
    return value instanceof Tagged ? bad("a redacted element outside an array") : value;
  };
  const members = (map, depth, word) => {
    const whole = new Map();
    for (const [key, member] of map) {
      if (key === REDACTED) continue;
      const back = walk(member, depth + 1, word ?? wordOf(key, map));
      if (!Array.isArray(back) || back.length > 0 || member.length === 0) whole.set(key, back);
    }
    if (!map.has(REDACTED)) return whole;
    const list = map.get(REDACTED);
    if (!Array.isArray(list) || list.length === 0) bad("no digests");
    for (const digest of list) {
      const part = taken(digest, 3);
      if (part === null) continue;
      const [, member, key] = part.found;
      if (typeof key !== "string" && !Number.isSafeInteger(key)) bad("a member's name");
      if (whole.has(key)) bad("a member that is there already");
      const own = word ?? wordOf(key, map);
      parts.set(part.name, own);
      whole.set(key, walk(member, depth + 1, own));
    }
    return whole;
  };
  const elements = (array, depth, word) =>
    array.flatMap((element) => {
      if (!(element instanceof Tagged)) return [walk(element, depth + 1, word)];
      const part = taken(element.value, 2);
      if (part === null) return [];
      parts.set(part.name, word ?? "");
      return [walk(part.found[1], depth + 1, word)];
    });
  const wordOf = (key, map) => (map === claims.get(AGES) ? `age-${key}` : wordOfIdentity(key));

  const whole = new Map();
  for (const [label, value] of claims) {
    if (label === REDACTED) bad("a claim of the top level is redacted");
    const before = digests.size;
    whole.set(label, walk(value, 1, null));
    if (digests.size > before && label !== IDENTITY && label !== AGES) bad("digests elsewhere");
  }
  for (const name of disclosures.keys()) if (!parts.has(name)) bad("a disclosure of nothing");
  return { claims: whole, digests: digests.size, parts };
}

function wordOfIdentity(key) {
  if (key === BIRTH_DATE) return "birth-date";
  if (key === FACE) return "face";
  if (key >= 50 && key <= 59) return "finger";
  return key >= 4 && key <= 7 ? "name" : "";
}

/**
 * Return the words of what is shown to a place.
 *
 * @param {Iterable<string>} words of what the card could disclose
 * @param {string[]|null} needs what the place asks for; null where it does not say
 * @param {number[]} open ages that everybody is shown: where one answers best, none is disclosed
 * @returns {Set<string>}
 */
export function chosen(words, needs, open = []) {
  const all = new Set(words);
  const ages = [...open, ...[...all].map(ageOf).filter((age) => age !== null)];
  if (needs === null) {
    return new Set([...all].filter((word) => word === "face" || word === "finger" || ageOf(word)));
  }
  const answers = needs.map((need) => {
    const least = ageOf(need);
    if (least === null) return need;
    const reached = ages.filter((age) => age >= least);
    return reached.length === 0 ? "" : `age-${Math.min(...reached)}`;
  });
  return new Set(answers.filter((word) => word !== "" && all.has(word)));
}
