/*
 * The cards: records of what was received, sealed, and the keys that they are bound to.
 *
 * Exports: `list`, `get`, `put`, `remove`, `spend`, `newHolders`, `holderOf`, `remember`, `recall`,
 * `persist`, `condition`, `acknowledge`, `onChange`, `exclusively`. Errors: `locked`, `storage`,
 * `no_such_card`, `key_missing`.
 *
 * A record:
 *     {id, issuer, configuration, kind, display, receivedAt, refreshToken,
 *      credentials: [{bytes, holder, thumbprint, uses, lastUse}], notification, notify}
 * `issuer` is the identifier (a URL), `display` what the issuer's metadata say of itself and of the
 * card, `credentials` a batch of equal ones, each with its own key (`holder` names the key's row);
 * `refreshToken` is null where the card cannot be renewed over the air; `notification`
 * is the issuer's name for this delivery, `notify` what it is still to be told, or null.
 *
 * Rules:
 * - every row is sealed under its own name (lock.js): a row that is moved does not open;
 * - a batch is for unlinkable use: `spend` gives the credential that was shown least, and counts it,
 *   one tab at a time;
 * - a marker of how many cards there are stands outside IndexedDB (localStorage, and the cache
 *   `idgate-marker`, which the service worker leaves alone). If the cards are gone and the marker is
 *   not, the browser evicted them or a lock wiped them: `condition` says `evicted`. A browser that
 *   deletes all of it at once leaves nothing to tell by.
 */

import { base64url, unbase64url, utf8 } from "./codec.js";
import { all, announce, change, count, exclusively, keys, listen, read } from "./db.js";
import { WalletError } from "./errors.js";
import { loadHolder, makeHolder, seal, state, unseal } from "./lock.js";

export { exclusively };

const MARK = "idgate.cards";
const MARK_CACHE = "idgate-marker";
const MARK_URL = "/idgate-marker";
const hearers = new Set();

const random = () => base64url(crypto.getRandomValues(new Uint8Array(12)));

// --- rows ------------------------------------------------------------------------------------

const packed = (value) =>
  utf8(JSON.stringify(value, (_, item) => (item instanceof Uint8Array ? { $b: base64url(item) } : item)));

const unpacked = (bytes) =>
  JSON.parse(new TextDecoder().decode(bytes), (_, item) =>
    typeof item?.$b === "string" ? unbase64url(item.$b) : item,
  );

const sealed = async (name, value) => ({ name, ...(await seal(packed(value), name)) });
const opened = async (row) => unpacked(await unseal(row, row.name));

/** Call `hear` when cards changed, here or in another tab; returns how to stop. */
export function onChange(hear) {
  hearers.add(hear);
  const deaf = listen((word) => ["changed", "wiped"].includes(word) && hear());
  return () => {
    hearers.delete(hear);
    deaf();
  };
}

async function changed() {
  await mark(await count("records"));
  announce("changed");
  for (const hear of hearers) hear();
}

/** Return all records, the newest last. */
export async function list() {
  const records = await Promise.all((await all("records")).map(opened));
  return records.sort((a, b) => a.receivedAt - b.receivedAt);
}

/** Return one record. */
export async function get(id) {
  const row = await read("records", id);
  if (row === undefined) throw new WalletError("no_such_card");
  return opened(row);
}

/** Keep a record; `replaces` are ids of records that it takes the place of. Returns it with `id`. */
export function put(record, { replaces = [] } = {}) {
  return exclusively("cards", async () => {
    const kept = { ...record, id: record.id ?? random() };
    const gone = replaces.filter((id) => id !== kept.id).map((id) => ["records", id, undefined]);
    await change([["records", kept.id, await sealed(`record:${kept.id}`, kept)], ...gone]);
    await dropHolders();
    await changed();
    return kept;
  });
}

/** Delete a card and the keys that no other card uses. */
export function remove(id) {
  return exclusively("cards", async () => {
    await change([["records", id, undefined]]);
    await dropHolders();
    await changed();
  });
}

/**
 * Take a credential to be shown, and count the use.
 *
 * @param {string} id of the record
 * @param {{thumbprint?: string}} which only that key's, as a ticket needs it
 * @returns {Promise<{bytes: Uint8Array, privateKey: CryptoKey, thumbprint: string}>} for as many
 *   codes as are drawn in this one showing
 */
export function spend(id, { thumbprint } = {}) {
  return exclusively("cards", async () => {
    const record = await get(id);
    const fitting = record.credentials.filter(
      (one) => thumbprint === undefined || one.thumbprint === thumbprint,
    );
    if (fitting.length === 0) throw new WalletError("key_missing");
    const chosen = fitting.reduce((a, b) => (b.uses < a.uses ? b : a));
    chosen.uses += 1;
    chosen.lastUse = Math.floor(Date.now() / 1000);
    await change([["records", id, await sealed(`record:${id}`, record)]]);
    const { bytes, holder } = chosen;
    return { bytes, privateKey: await privateKey(holder), thumbprint: chosen.thumbprint };
  });
}

// --- holders' keys ---------------------------------------------------------------------------

const privateKey = async (id) => {
  const row = await read("holders", id);
  if (row === undefined) throw new WalletError("key_missing");
  return loadHolder(row.kept, `holder:${id}`);
};

/** Make and keep keys: `[{id, jwk, thumbprint, privateKey}]`. */
export async function newHolders(number) {
  const made = [];
  for (let index = 0; index < number; index += 1) {
    const id = random();
    made.push({ id, ...(await makeHolder(`holder:${id}`)) });
  }
  const at = Date.now();
  await change(made.map(({ id, kept }) => ["holders", id, { kept, at }]));
  return made.map(({ kept: _, ...rest }) => rest);
}

/** Return `{id, thumbprint, privateKey, record, bytes}` of the key of a card that is held. */
export async function holderOf(thumbprint) {
  for (const record of await list()) {
    const found = record.credentials.find((one) => one.thumbprint === thumbprint);
    if (found) {
      const { holder: id, bytes } = found;
      return { id, thumbprint, privateKey: await privateKey(id), record, bytes };
    }
  }
  throw new WalletError("key_missing");
}

/** Delete keys that no card names, but those that may be on their way to one. */
async function dropHolders() {
  const used = new Set((await list()).flatMap((record) => record.credentials.map((c) => c.holder)));
  const early = Date.now() - 3_600_000;
  const ids = (await keys("holders")).filter((id) => !used.has(id));
  const rows = await Promise.all(ids.map((id) => read("holders", id)));
  const gone = ids.filter((_, at) => (rows[at]?.at ?? 0) < early);
  if (gone.length > 0) await change(gone.map((id) => ["holders", id, undefined]));
}

// --- memory ----------------------------------------------------------------------------------

/** Keep a small value, sealed: the last place, an exchange that was begun. */
export async function remember(name, value) {
  const row = value === undefined ? undefined : await sealed(`memory:${name}`, value);
  await change([["memory", name, row]]);
}

/** Return what was remembered, or undefined. */
export async function recall(name) {
  const row = await read("memory", name);
  return row && opened(row);
}

// --- eviction --------------------------------------------------------------------------------

/** Ask the browser to keep the cards until the person deletes them; returns whether it will. */
export async function persist() {
  if (navigator.storage?.persist === undefined) return false;
  return (await navigator.storage.persisted()) || navigator.storage.persist();
}

async function mark(number) {
  if (number > 0) localStorage.setItem(MARK, String(number));
  else localStorage.removeItem(MARK);
  const cache = await caches.open(MARK_CACHE);
  if (number > 0) await cache.put(MARK_URL, new Response(String(number)));
  else await caches.delete(MARK_CACHE);
}

async function marked() {
  const cached = await caches.match(MARK_URL, { cacheName: MARK_CACHE });
  const numbers = [localStorage.getItem(MARK), await cached?.text()].map(Number);
  return Math.max(...numbers.map((number) => (Number.isSafeInteger(number) ? number : 0)));
}

/**
 * Return `{kind: "new"|"ready"|"evicted", cards: number, lost: number}`; needs no unlocking.
 * `evicted`: there were `lost` cards, and the browser or the lock deleted them.
 */
export async function condition() {
  const [cards, before, { method }] = await Promise.all([count("records"), marked(), state()]);
  if (cards > 0 && method !== null) return { kind: "ready", cards, lost: 0 };
  if (cards + before > 0) return { kind: "evicted", cards: 0, lost: Math.max(cards, before) };
  return { kind: method === null ? "new" : "ready", cards: 0, lost: 0 };
}

/** Forget that cards were lost, once the person was told. */
export const acknowledge = () => mark(0);
