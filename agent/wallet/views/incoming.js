/**
 * What was scanned, pasted or came with the address: an offer, an invitation or a place.
 */

import { list, recall } from "../store.js";
import { readLink } from "../links.js";
import { rememberPlace } from "../places.js";
import { isTicket, opened } from "./parts.js";

const OURS = /[#&](credential_offer|credential_offer_uri|invitation|place)=/;

/** What the page's own address brought, or null; the caller takes it out of the address. */
export const readFragment = () => (OURS.test(location.hash) ? { text: location.href } : null);

/**
 * Go on with a text.
 *
 * @param {object} app
 * @param {{text: string, card?: string, instead?: boolean}} what `card` is the card that a place is
 *   scanned for; `instead` takes the place of the view that is there (the camera's)
 * @throws {WalletError} `not_ours`, `place_refused`
 */
export async function incoming(app, { text, card = null, instead = false }) {
  const link = readLink(text);
  const go = instead ? app.replace : app.go;
  if (link.what !== "place") return go(link.what, { text: link.text });
  app.place = link.place;
  await rememberPlace(link.place);
  const cards = (await Promise.all((await list()).map(opened))).filter((one) => !isTicket(one));
  const id = card ?? (await recall("card"));
  const found = cards.find(({ record }) => record.id === id) ?? (cards.length === 1 ? cards[0] : null);
  // A challenge waits for nobody: the card that one uses is shown at once, ready for its code.
  return found ? go("card", { id: found.record.id }) : app.reset("home");
}
