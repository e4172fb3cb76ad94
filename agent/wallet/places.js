/*
 * Where a code is to be shown: the gate's challenge or the place's code, scanned or followed.
 *
 * Exports: `readPlace`, `rememberPlace`, `lastPlace`, `isFresh`, `CHALLENGE_S`. Errors: `not_ours`,
 * `place_refused`, `locked`.
 *
 * Rules:
 * - `idgate:SITE/GATE?cnonce=HEX`, or the wallet's own address with `#place=SITE%2FGATE&cnonce=HEX`;
 *   GATE and cnonce may be left out;
 * - one place: a wildcard in a code on a wall would make codes that are good anywhere;
 * - names as gates have them; a challenge of 8 to 64 bytes, good for `CHALLENGE_S` and then dropped:
 *   the display shows another by then;
 * - the last place is remembered sealed, without its challenge: where somebody was is nobody's
 *   business.
 */

import { unhex } from "./codec.js";
import { WalletError } from "./errors.js";
import { recall, remember } from "./store.js";

/** For how many seconds a scanned challenge is put into codes. */
export const CHALLENGE_S = 60;
const NAME = "[a-z0-9][a-z0-9._-]{0,63}";
const AUDIENCE = new RegExp(`^${NAME}(/${NAME})?$`);

/**
 * Read a place out of a text.
 *
 * @param {string} text
 * @param {number} at Unix seconds of reading, by the phone's own clock
 * @returns {{audience: string, site: string, gate: string|null, cnonce: Uint8Array|null, at: number}}
 */
export function readPlace(text, at = Date.now() / 1000) {
  const { audience, cnonce } = parts(text.trim());
  if (!AUDIENCE.test(audience)) throw new WalletError("place_refused");
  if (cnonce !== null && !/^([0-9A-Fa-f]{2}){8,64}$/.test(cnonce)) {
    throw new WalletError("place_refused", { what: "cnonce" });
  }
  const [site, gate = null] = audience.split("/");
  return { audience, site, gate, cnonce: cnonce === null ? null : unhex(cnonce), at };
}

function parts(text) {
  const bare = /^idgate:([^?#]*)(?:\?([^#]*))?$/i.exec(text);
  if (bare) {
    return { audience: bare[1], cnonce: new URLSearchParams(bare[2] ?? "").get("cnonce") };
  }
  const given = new URLSearchParams(/^(?:https?:[^#]*)?#(.*)$/.exec(text)?.[1] ?? "");
  if (!given.has("place")) throw new WalletError("not_ours");
  return { audience: given.get("place"), cnonce: given.get("cnonce") };
}

/** Return whether a place's challenge, if it has one, may still be answered. */
export function isFresh(place, at = Date.now() / 1000) {
  return place.cnonce === null || (at >= place.at - 1 && at < place.at + CHALLENGE_S);
}

/** Keep the place for the next time, without its challenge. */
export const rememberPlace = ({ audience }) => remember("place", audience);

/** Return the place that was used last, as `readPlace` does, or null. */
export async function lastPlace() {
  const audience = await recall("place");
  return audience === undefined ? null : readPlace(`idgate:${audience}`);
}
