/*
 * Where a code is to be shown: the gate's challenge or the place's code, scanned or followed.
 *
 * Exports: `readPlace`, `rememberPlace`, `lastPlace`, `isFresh`, `CHALLENGE_S`. Errors: `not_ours`,
 * `place_refused`, `locked`.
 *
 * Rules:
 * - `idgate:SITE/GATE?cnonce=HEX&need=age-18,face`, or the wallet's own address with
 *   `#place=SITE%2FGATE&cnonce=HEX&need=...`; GATE, cnonce and need may be left out;
 * - `need` is what the place asks to be shown, at most 16 words; an empty one asks for nothing, one
 *   that is left out does not say. What the words mean is `disclosure.js`'s;
 * - one place: a wildcard in a code on a wall would make codes that are good anywhere;
 * - names as gates have them; a challenge of 8 to 64 bytes, good for `CHALLENGE_S` and then dropped:
 *   the display shows another by then;
 * - the last place is remembered sealed, with what it asks and without its challenge: where somebody
 *   was is nobody's business.
 */

import { unhex } from "./codec.js";
import { WalletError } from "./errors.js";
import { recall, remember } from "./store.js";

/** For how many seconds a scanned challenge is put into codes. */
export const CHALLENGE_S = 60;
const MOST_NEEDS = 16;
const NEED = /^[a-z][a-z0-9-]{0,31}$/;
const NAME = "[a-z0-9][a-z0-9._-]{0,63}";
const AUDIENCE = new RegExp(`^${NAME}(/${NAME})?$`);

/**
 * Read a place out of a text.
 *
 * @param {string} text
 * @param {number} at Unix seconds of reading, by the phone's own clock
 * @returns {{audience: string, site: string, gate: string|null, cnonce: Uint8Array|null,
 *   needs: string[]|null, at: number}}
 */
export function readPlace(text, at = Date.now() / 1000) {
  const { audience, cnonce, need } = parts(text.trim());
  if (!AUDIENCE.test(audience)) throw new WalletError("place_refused");
  if (cnonce !== null && !/^([0-9A-Fa-f]{2}){8,64}$/.test(cnonce)) {
    throw new WalletError("place_refused", { what: "cnonce" });
  }
  const [site, gate = null] = audience.split("/");
  return {
    audience, site, gate, cnonce: cnonce === null ? null : unhex(cnonce), needs: words(need), at,
  };
}

function words(need) {
  if (need === null || need === "") return need === null ? null : [];
  const found = [...new Set(need.split(","))];
  if (found.length <= MOST_NEEDS && found.every((word) => NEED.test(word))) return found;
  throw new WalletError("place_refused", { what: "need" });
}

function parts(text) {
  const bare = /^idgate:([^?#]*)(?:\?([^#]*))?$/i.exec(text);
  if (bare) return { audience: bare[1], ...asked(new URLSearchParams(bare[2] ?? "")) };
  const given = new URLSearchParams(/^(?:https?:[^#]*)?#(.*)$/.exec(text)?.[1] ?? "");
  if (!given.has("place")) throw new WalletError("not_ours");
  return { audience: given.get("place"), ...asked(given) };
}

const asked = (given) => ({ cnonce: given.get("cnonce"), need: given.get("need") });

/** Return whether a place's challenge, if it has one, may still be answered. */
export function isFresh(place, at = Date.now() / 1000) {
  return place.cnonce === null || (at >= place.at - 1 && at < place.at + CHALLENGE_S);
}

/** Keep the place for the next time, without its challenge. */
export const rememberPlace = ({ audience, needs }) => remember("place", { audience, needs });

/** Return the place that was used last, as `readPlace` does, or null. */
export async function lastPlace() {
  const kept = await recall("place");
  if (kept === undefined) return null;
  // A place that an older version of this page kept is its name alone.
  const { audience, needs } = typeof kept === "string" ? { audience: kept, needs: null } : kept;
  return { ...readPlace(`idgate:${audience}`), needs };
}
