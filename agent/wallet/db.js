/*
 * IndexedDB in four verbs, and word between tabs.
 *
 * Exports: `read`, `all`, `keys`, `count`, `change`, `clear`, `exclusively`, `announce`, `listen`.
 * Errors: `storage`.
 *
 * Rules:
 * - one database, four tables without key paths: `lock`, `holders`, `records`, `memory`;
 * - what belongs together changes in one transaction, flushed to disk before it counts as done;
 * - nothing readable is written here: lock.js seals first (see docs/wallet.md for what is in the
 *   clear: how the lock works, and how many rows there are).
 */

import { WalletError } from "./errors.js";

const NAME = "idgate-wallet";
const TABLES = ["lock", "holders", "records", "memory"];
let connection = null;
let channel = null;

const settled = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

async function database() {
  connection ??= (async () => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => {
      for (const table of TABLES) request.result.createObjectStore(table);
    };
    const found = await settled(request);
    // Another tab with a newer page, or the browser itself, wants it closed.
    found.onversionchange = () => found.close();
    found.onclose = () => (connection = null);
    return found;
  })();
  try {
    return await connection;
  } catch (error) {
    connection = null;
    throw new WalletError("storage", { name: error?.name }, error);
  }
}

async function within(tables, mode, work) {
  const found = await database();
  try {
    const transaction = found.transaction(tables, mode, { durability: "strict" });
    const done = new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error);
    });
    const [result] = await Promise.all([work(transaction), done]);
    return result;
  } catch (error) {
    if (error?.name === "InvalidStateError") connection = null;
    throw new WalletError("storage", { name: error?.name }, error);
  }
}

const from = (table, work) => within([table], "readonly", (t) => settled(work(t.objectStore(table))));

/** Return a row, or undefined. */
export const read = (table, key) => from(table, (store) => store.get(key));

/** Return all rows. */
export const all = (table) => from(table, (store) => store.getAll());

/** Return all keys of a table. */
export const keys = (table) => from(table, (store) => store.getAllKeys());

export const count = (table) => from(table, (store) => store.count());

/** Apply changes `[table, key, row]` in one transaction; an undefined row deletes. */
export async function change(changes) {
  if (changes.length === 0) return; // a transaction over no table is an error
  await within([...new Set(changes.map(([table]) => table))], "readwrite", async (transaction) => {
    for (const [table, key, row] of changes) {
      const store = transaction.objectStore(table);
      if (row === undefined) store.delete(key);
      else store.put(row, key);
    }
  });
}

/** Delete every row of every table. */
export function clear() {
  return within(TABLES, "readwrite", async (transaction) => {
    for (const table of TABLES) transaction.objectStore(table).clear();
  });
}

/** Run `work` while no other tab runs work of that name. */
export function exclusively(name, work) {
  return navigator.locks.request(`${NAME}-${name}`, work);
}

function line() {
  channel ??= new BroadcastChannel(NAME);
  return channel;
}

/** Tell other tabs: `changed`, `lock` or `wiped`. */
export const announce = (word) => line().postMessage(word);

/** Hear what other tabs tell; returns how to stop. */
export function listen(hear) {
  const heard = (event) => hear(event.data);
  line().addEventListener("message", heard);
  return () => line().removeEventListener("message", heard);
}
