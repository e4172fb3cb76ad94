/*
 * Receiving, renewing and giving back cards: the steps of protocol.js with what must survive a
 * restart, a lost answer and a second tab.
 *
 * Exports: `readOffer`, `take`, `resume`, `tell`, `isDue`, `refresh`, `discard`. Errors: those of
 * protocol.js, http.js and store.js.
 *
 * Rules:
 * - one exchange at a time over all tabs;
 * - an exchange is remembered, sealed, from the moment its code is spent until its card is kept:
 *   `resume` finishes what a restart or a lost answer cut off, as long as the token is good;
 * - an offer bound to a key (`holder`) uses that key of a card that is held, and no other; the card
 *   takes the place of one of its own kind (an upgrade), and stands beside others (a ticket).
 *   Without it every credential gets a key of its own;
 * - the issuer is told that a card was kept, refused or deleted; if that cannot be said now it is
 *   kept with the card and said by `tell`;
 * - a new refresh token is kept before anything is asked with it.
 */

import { now } from "./clock.js";
import { describe } from "./cose.js";
import { WalletError } from "./errors.js";
import { isLocked } from "./lock.js";
import { knownIssuers, metadataOf, notify, readOffer, redeem, renew, request } from "./protocol.js";
import * as store from "./store.js";

export { readOffer };

const EXCHANGE = "exchange";
const DUE_SHARE = 0.75;

const alone = (work) => store.exclusively("exchange", work);

// --- receiving -------------------------------------------------------------------------------

/**
 * Take what an offer gives, and keep it.
 *
 * @param {object} offer as `readOffer` returned it
 * @param {{transactionCode?: string, count?: number, configuration?: string}} options `count`
 *   credentials at most, where not as many as the issuer gives at once; `configuration` one of
 *   `offer.cards`, where not the first
 * @returns {Promise<object>} the record (store.js)
 */
export function take(offer, { transactionCode, count, configuration } = {}) {
  return alone(async () => {
    const card = offer.cards.find((one) => one.configuration === (configuration ?? one.configuration));
    if (card === undefined) throw new WalletError("unsupported", { what: "configuration" });
    // Before anything is spent: what is held up is finished, and something can be kept.
    await unfinished();
    if (isLocked()) throw new WalletError("locked");
    await store.remember(EXCHANGE, undefined);
    if (offer.holder !== null) await held(offer.holder); // before the code is spent
    const token = await redeem(offer, transactionCode);
    const number = Math.max(1, Math.min(count ?? offer.metadata.batch, offer.metadata.batch));
    const exchange = {
      issuer: offer.issuer,
      card,
      token,
      until: now() + token.seconds,
      bound: offer.holder,
      replaces: await replaced(offer, card),
      number: offer.holder === null ? number : 1,
    };
    await store.remember(EXCHANGE, exchange);
    return finish(exchange, offer.metadata);
  });
}

/** Return the ids of the cards whose place a card for a key that is held takes: of its own kind only. */
async function replaced({ issuer, holder }, { configuration }) {
  const fitting = (await store.list()).filter(
    (record) =>
      record.issuer === issuer &&
      record.configuration === configuration &&
      record.credentials.some((one) => one.thumbprint === holder),
  );
  return fitting.map(({ id }) => id);
}

/** Finish an exchange that was cut off; returns its record, or null where there is none to finish. */
export const resume = () => alone(unfinished);

async function unfinished() {
  const exchange = await store.recall(EXCHANGE);
  if (exchange === undefined || exchange.until <= now()) return null;
  const metadata = await metadataOf(exchange.issuer, await knownIssuers());
  try {
    return await finish(exchange, metadata);
  } catch (error) {
    if (passing(error)) throw error;
    return null; // it came to nothing, and is forgotten
  }
}

/** What may work a moment later, and must not end an exchange. */
const passing = (error) => error instanceof WalletError && (error.detail.retry || error.code === "locked");

async function finish(exchange, metadata) {
  const { card, token, bound } = exchange;
  let received;
  try {
    const holders = bound === null ? await store.newHolders(exchange.number) : [await held(bound)];
    const wanted = { configuration: card.configuration, holders, now: now() };
    received = await request(metadata, token, wanted);
  } catch (error) {
    if (!passing(error)) await store.remember(EXCHANGE, undefined);
    if (error.code === "bad_credential") await refuse(metadata, token, error.detail.notification);
    throw error;
  }
  const record = await store.put(
    {
      issuer: exchange.issuer,
      configuration: card.configuration,
      kind: card.kind,
      display: { issuer: metadata.display, card: card.display },
      receivedAt: now(),
      refreshToken: token.refresh,
      credentials: received.credentials.map(fresh),
      ...notice(received, token),
    },
    { replaces: exchange.replaces },
  );
  await store.remember(EXCHANGE, undefined);
  return told(record, metadata);
}

const fresh = ({ bytes, holder }) => ({
  bytes,
  holder: holder.id,
  thumbprint: holder.thumbprint,
  uses: 0,
  lastUse: 0,
});

/** Return a key that is held, with the public part that a proof shows. */
async function held(thumbprint) {
  const { id, privateKey, bytes } = await store.holderOf(thumbprint);
  return { id, privateKey, thumbprint, jwk: (await describe(bytes)).holderKey };
}

// --- telling ---------------------------------------------------------------------------------

const notice = ({ notification }, { access }) => ({
  notification,
  notify: notification === null ? null : { access, event: "credential_accepted" },
});

/** Tell the issuer of one record; returns it without what was told. */
async function told(record, metadata) {
  if (record.notify === null) return record;
  const { access, event } = record.notify;
  try {
    await notify(metadata, access, record.notification, event);
  } catch (error) {
    // Silence counts as accepted once the token is over: only what may pass is tried again.
    if (passing(error)) return record;
    if (!(error instanceof WalletError)) throw error;
  }
  return store.put({ ...record, notify: null });
}

async function refuse(metadata, token, notification) {
  try {
    await notify(metadata, token.access, notification, "credential_failure");
  } catch (error) {
    if (!(error instanceof WalletError)) throw error; // what was refused is told in any case
  }
}

/** Tell issuers what could not be told before; called when there is a network again. */
export function tell() {
  return alone(async () => {
    const waiting = (await store.list()).filter((record) => record.notify !== null);
    for (const record of waiting) {
      await told(record, await metadataOf(record.issuer, await knownIssuers()));
    }
  });
}

// --- renewing --------------------------------------------------------------------------------

/** Return whether a card should be renewed: three quarters of its time are over, or all were shown. */
export async function isDue(record, at = now()) {
  if (record.refreshToken === null) return false;
  const said = await Promise.all(record.credentials.map((one) => describe(one.bytes)));
  const late = said.some(({ iat, exp }) => at >= iat + DUE_SHARE * (exp - iat));
  return late || (record.credentials.length > 1 && record.credentials.every((one) => one.uses > 0));
}

/** Renew a card over the air; returns the record as it is then. */
export function refresh({ id }) {
  return alone(async () => {
    // Another tab may have renewed it meanwhile: what is kept now counts.
    const record = await store.get(id);
    if (record.refreshToken === null) throw new WalletError("refresh_refused");
    const metadata = await metadataOf(record.issuer, await knownIssuers());
    const token = await renew(metadata, record.refreshToken);
    const kept = await store.put({ ...record, refreshToken: token.refresh ?? record.refreshToken });
    const holders = await renewedHolders(kept);
    const [{ bytes: previous }] = kept.credentials;
    const wanted = { configuration: kept.configuration, holders, now: now(), previous };
    let received;
    try {
      received = await request(metadata, token, wanted);
    } catch (error) {
      if (error.code === "bad_credential") await refuse(metadata, token, error.detail.notification);
      throw error;
    }
    const { configurations, display } = metadata;
    const renewed = await store.put({
      ...kept,
      display: { issuer: display, card: configurations.get(kept.configuration)?.display ?? [] },
      receivedAt: now(),
      credentials: received.credentials.map(fresh),
      ...notice(received, token),
    });
    return told(renewed, metadata);
  });
}

/**
 * Return the keys of a renewed batch: the first stays, so that the issuer knows the phone again; a
 * key that a ticket is bound to stays; the others are new, so that no gate knows them again.
 */
async function renewedHolders({ id, credentials }) {
  const others = (await store.list()).filter((record) => record.id !== id);
  const shared = new Set(others.flatMap((record) => record.credentials.map((one) => one.thumbprint)));
  const stay = credentials.filter((one, at) => at === 0 || shared.has(one.thumbprint));
  const old = await Promise.all(stay.map((one) => held(one.thumbprint)));
  return [...old, ...(await store.newHolders(credentials.length - old.length))];
}

/** Delete a card, then tell its issuer if that can be said now; a lost word changes nothing. */
export function discard({ id }) {
  return alone(async () => {
    const { issuer, notification, refreshToken } = await store.get(id);
    await store.remove(id);
    if (notification === null || refreshToken === null) return;
    try {
      const metadata = await metadataOf(issuer, await knownIssuers());
      const { access } = await renew(metadata, refreshToken);
      await notify(metadata, access, notification, "credential_deleted");
    } catch (error) {
      if (!(error instanceof WalletError)) throw error;
    }
  });
}
