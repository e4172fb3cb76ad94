/*
 * What a scanned, pasted or followed text is for this wallet.
 *
 * Exports: `readLink`. Errors: `not_ours`, `place_refused`.
 *
 * Rules: an offer, an invitation or a place, told apart by form alone; nothing is fetched here. The
 * page clears its own address (`history.replaceState`) at once: an offer in it is a secret.
 */

import { WalletError } from "./errors.js";
import { invitationOf } from "./invitation.js";
import { readPlace } from "./places.js";
import { offerOf } from "./protocol.js";

/** Return `{what: "offer"|"invitation", text}` or `{what: "place", place}`. */
export function readLink(text) {
  if (text.length > 8192) throw new WalletError("not_ours");
  if (offerOf(text) !== null) return { what: "offer", text };
  if (invitationOf(text) !== null) return { what: "invitation", text };
  return { what: "place", place: readPlace(text) };
}
