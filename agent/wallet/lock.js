/*
 * The lock: nothing of the cards is readable before the holder's own check.
 *
 * Exports: `RULES`, `methods`, `state`, `setUp`, `unlock`, `lock`, `isLocked`, `changePin`, `wipe`,
 * `onLock`, `watch`; for store.js: `seal`, `unseal`, `makeHolder`, `loadHolder`.
 * Errors: `locked`, `not_set_up`, `already_set_up`, `pin_weak`, `pin_wrong`, `pin_wait`, `wiped`,
 * those of passkey.js and db.js.
 *
 * Rules:
 * - one random vault key (AES-GCM, 256 bits) seals every row; it lives in this module's memory while
 *   unlocked and is exported to nobody. How it is kept is the method's:
 *     device, with PRF: wrapped under HKDF-SHA-256 of the authenticator's secret: cryptography;
 *     device, without:  as a non-extractable key in IndexedDB: the check guards the interface;
 *     pin:              wrapped under PBKDF2-SHA-256, 600,000 rounds: a delay. Six digits fall to
 *                       who has copied the files: in about a day to one core, in minutes to a
 *                       graphics card;
 * - holder keys: wrapped under the vault key, extractable once, at creation, and unwrapped
 *   non-extractable; without PRF they are non-extractable from the start and kept as they are;
 * - a PIN has `RULES.shortest` digits at least. A try counts before it is checked, one tab at a time;
 *   waits grow as `RULES.waits_s` says and survive a restart; the `RULES.tries`th wrong PIN deletes
 *   every card and key, and the interface says so beforehand;
 * - it locks after `RULES.idle_s` without a touch, when the page is hidden, and on `lock()`.
 */

import { utf8 } from "./codec.js";
import { makeKey, publicJwk, thumbprint } from "./cose.js";
import { announce, change, clear, exclusively, listen, read } from "./db.js";
import { WalletError } from "./errors.js";
import { check, enrol, offered } from "./passkey.js";

/** What the person is told before a PIN is chosen; times in seconds. */
export const RULES = Object.freeze({
  shortest: 6,
  longest: 64,
  tries: 10,
  waits_s: Object.freeze([0, 0, 0, 5, 15, 30, 60, 300, 900, 3600]),
  idle_s: 60,
});

const ROUNDS = 600_000;
const AES = "AES-GCM";
const IV_BYTES = 12;
const VAULT = { name: AES, length: 256 };
const USES = ["encrypt", "decrypt", "wrapKey", "unwrapKey"];
const HOLDER = { name: "ECDSA", namedCurve: "P-256" };

/** `{key, wrapped}`: the vault key, and whether holder keys are wrapped under it; null: locked. */
let vault = null;
const hearers = new Set();

const random = (bytes) => crypto.getRandomValues(new Uint8Array(bytes));
const vaultKey = () => vault ?? fail("locked");
const fail = (code, detail) => {
  throw new WalletError(code, detail);
};

// --- state -----------------------------------------------------------------------------------

/** Return which methods there are: `{device: boolean, pin: true}`. */
export async function methods() {
  return { device: await offered(), pin: true };
}

/**
 * Return `{method: null|"device"|"pin", prf: boolean, locked: boolean, left: number,
 * wait_s: number}`; `left` tries of the PIN, and how long until the next may be made.
 */
export async function state() {
  const row = await read("lock", "lock");
  return {
    method: row?.method ?? null,
    prf: row?.method === "device" && row.wrapped !== undefined,
    locked: isLocked(),
    left: RULES.tries - (row?.tries ?? 0),
    wait_s: row ? waiting(row) : 0,
  };
}

export const isLocked = () => vault === null;

/** Call `hear` whenever it locks; returns how to stop. */
export function onLock(hear) {
  hearers.add(hear);
  return () => hearers.delete(hear);
}

/** Lock, in other tabs too where asked. */
export function lock({ everywhere = false } = {}) {
  const was = vault;
  vault = null;
  if (everywhere) announce("lock");
  if (was !== null) for (const hear of hearers) hear();
}

/** Lock by itself from now on: idle, hidden, or another tab's word. Returns how to stop. */
export function watch({ idle_s = RULES.idle_s } = {}) {
  let timer = setTimeout(lock, idle_s * 1000);
  let last = Date.now();
  const touched = () => {
    // A timer sleeps with the phone: the clock is asked too.
    if (Date.now() - last > idle_s * 1000) lock();
    last = Date.now();
    clearTimeout(timer);
    timer = setTimeout(lock, idle_s * 1000);
  };
  const hidden = () => document.visibilityState === "hidden" && lock();
  const left = () => lock();
  const touches = ["pointerdown", "keydown", "input"];
  for (const name of touches) addEventListener(name, touched, { capture: true, passive: true });
  document.addEventListener("visibilitychange", hidden);
  addEventListener("pagehide", left);
  const deaf = listen((word) => ["lock", "wiped"].includes(word) && lock());
  return () => {
    clearTimeout(timer);
    for (const name of touches) removeEventListener(name, touched, { capture: true });
    document.removeEventListener("visibilitychange", hidden);
    removeEventListener("pagehide", left);
    deaf();
  };
}

// --- setting up and unlocking ------------------------------------------------------------------

/**
 * Choose how the wallet is locked; it is unlocked afterwards.
 *
 * @param {{method: "device"|"pin", pin?: string, label?: string}} choice `label` is what the
 *   device's own dialogue calls the wallet
 * @returns {Promise<{method: string, prf: boolean}>}
 */
export function setUp({ method, pin = "", label = "Wallet" }) {
  return exclusively("lock", async () => {
    if (await read("lock", "lock")) fail("already_set_up");
    const row = method === "device" ? await deviceRow(label) : await pinRow(pin);
    await change([["lock", "lock", row.kept]]);
    vault = { key: row.key, wrapped: row.kept.wrapped !== undefined };
    return { method, prf: method === "device" && vault.wrapped };
  });
}

async function deviceRow(label) {
  const { row, secret } = await enrol(label);
  if (secret === null) {
    const key = await crypto.subtle.generateKey(VAULT, false, USES);
    return { key, kept: { method: "device", passkey: row, key } };
  }
  const { key, wrapped } = await newVault(await fromSecret(secret, row.salt));
  return { key, kept: { method: "device", passkey: row, wrapped } };
}

async function pinRow(pin) {
  strong(pin);
  const salt = random(16);
  const { key, wrapped } = await newVault(await fromPin(pin, salt));
  return { key, kept: { method: "pin", salt, wrapped, tries: 0, at: 0 } };
}

function strong(pin) {
  const digits = [...pin].map(Number);
  const step = digits[1] - digits[0];
  const even = digits.every((digit, at) => at === 0 || digit - digits[at - 1] === step);
  if (!/^[0-9]+$/.test(pin) || pin.length < RULES.shortest || pin.length > RULES.longest) {
    fail("pin_weak", { shortest: RULES.shortest });
  }
  if (even) fail("pin_weak", { what: "a row of digits" });
}

async function newVault(kek) {
  const key = await crypto.subtle.generateKey(VAULT, true, USES);
  const wrapped = await wrap(key, kek, "raw", "vault");
  return { key: await unwrapVault(wrapped, kek), wrapped };
}

async function unwrapVault({ iv, data }, kek) {
  const how = { name: AES, iv, additionalData: utf8("vault") };
  return crypto.subtle.unwrapKey("raw", data, kek, how, VAULT, false, USES);
}

async function wrap(key, kek, format, name) {
  const iv = random(IV_BYTES);
  const how = { name: AES, iv, additionalData: utf8(name) };
  return { iv, data: new Uint8Array(await crypto.subtle.wrapKey(format, key, kek, how)) };
}

async function fromSecret(secret, salt) {
  const base = await crypto.subtle.importKey("raw", secret, "HKDF", false, ["deriveKey"]);
  secret.fill(0);
  const how = { name: "HKDF", hash: "SHA-256", salt, info: utf8("idgate wallet vault 1") };
  return crypto.subtle.deriveKey(how, base, VAULT, false, ["wrapKey", "unwrapKey"]);
}

async function fromPin(pin, salt) {
  const base = await crypto.subtle.importKey("raw", utf8(pin), "PBKDF2", false, ["deriveKey"]);
  const how = { name: "PBKDF2", hash: "SHA-256", salt, iterations: ROUNDS };
  return crypto.subtle.deriveKey(how, base, VAULT, false, ["wrapKey", "unwrapKey"]);
}

/** Unlock, by the device's own check or by the PIN, as it was set up. */
export async function unlock({ pin = "" } = {}) {
  const row = await read("lock", "lock");
  if (row === undefined) fail("not_set_up");
  if (row.method === "pin") {
    vault = { key: await exclusively("lock", () => tryPin(pin)), wrapped: true };
    return;
  }
  const secret = await check(row.passkey);
  if (row.wrapped === undefined) {
    vault = { key: row.key, wrapped: false };
    return;
  }
  if (secret === null) fail("check_failed", { what: "no PRF secret any more" });
  try {
    const key = await unwrapVault(row.wrapped, await fromSecret(secret, row.passkey.salt));
    vault = { key, wrapped: true };
  } catch (error) {
    throw new WalletError("check_failed", { what: "another PRF secret" }, error);
  }
}

/** How many seconds until another try; a clock that was set back makes no longer wait. */
function waiting(row) {
  const wait_s = RULES.waits_s[Math.min(row.tries ?? 0, RULES.tries) - 1] ?? 0;
  return Math.min(wait_s, Math.max(0, Math.ceil((row.at ?? 0) / 1000 + wait_s - Date.now() / 1000)));
}

async function tryPin(pin) {
  const row = await read("lock", "lock");
  if (row === undefined) fail("not_set_up");
  if (row.tries >= RULES.tries) await wipe(); // closed before the last wrong one was told
  const wait_s = waiting(row);
  if (wait_s > 0) fail("pin_wait", { wait_s });
  const counted = { ...row, tries: row.tries + 1, at: Date.now() };
  await change([["lock", "lock", counted]]);
  const kek = await fromPin(pin, row.salt);
  let key;
  try {
    key = await unwrapVault(row.wrapped, kek);
  } catch {
    if (counted.tries >= RULES.tries) await wipe();
    fail("pin_wrong", { left: RULES.tries - counted.tries, wait_s: waiting(counted) });
  }
  await change([["lock", "lock", { ...row, tries: 0, at: 0 }]]);
  return key;
}

/** Change the PIN; the old one counts as a try. */
export async function changePin({ pin, next }) {
  strong(next);
  return exclusively("lock", async () => {
    if ((await read("lock", "lock"))?.method !== "pin") fail("not_set_up");
    await tryPin(pin);
    const row = await read("lock", "lock");
    const kek = await fromPin(pin, row.salt);
    const how = { name: AES, iv: row.wrapped.iv, additionalData: utf8("vault") };
    const open = await crypto.subtle.unwrapKey("raw", row.wrapped.data, kek, how, VAULT, true, USES);
    const salt = random(16);
    const wrapped = await wrap(open, await fromPin(next, salt), "raw", "vault");
    await change([["lock", "lock", { method: "pin", salt, wrapped, tries: 0, at: 0 }]]);
  });
}

/** Delete every card, key and the lock itself, and lock; always throws `wiped`. */
export async function wipe() {
  await clear();
  lock();
  announce("wiped");
  fail("wiped");
}

// --- for the store -----------------------------------------------------------------------------

/** Seal bytes under a name: `{iv, data}`. */
export async function seal(bytes, name) {
  const iv = random(IV_BYTES);
  const how = { name: AES, iv, additionalData: utf8(name) };
  return { iv, data: new Uint8Array(await crypto.subtle.encrypt(how, vaultKey().key, bytes)) };
}

/** Open what `seal` sealed under that name. */
export async function unseal({ iv, data }, name) {
  const { key } = vaultKey();
  const how = { name: AES, iv, additionalData: utf8(name) };
  try {
    return new Uint8Array(await crypto.subtle.decrypt(how, key, data));
  } catch (error) {
    throw new WalletError("storage", { what: "a row that this lock did not seal" }, error);
  }
}

/**
 * Make a holder's key.
 *
 * @param {string} name of its row
 * @returns {Promise<{kept: object, jwk: object, thumbprint: string, privateKey: CryptoKey}>} `kept`
 *   is what to store; `privateKey` is non-extractable
 */
export async function makeHolder(name) {
  const { key, wrapped } = vaultKey();
  const pair = await makeKey({ extractable: wrapped });
  const jwk = await publicJwk(pair.publicKey);
  const kept = wrapped
    ? await wrap(pair.privateKey, key, "pkcs8", name)
    : { key: pair.privateKey };
  const privateKey = wrapped ? await unwrapHolder(kept, key, name) : pair.privateKey;
  return { kept, jwk, thumbprint: await thumbprint(jwk), privateKey };
}

/** Return the private key of a row; non-extractable. */
export async function loadHolder(kept, name) {
  const { key } = vaultKey();
  return kept.key ?? unwrapHolder(kept, key, name);
}

async function unwrapHolder({ iv, data }, key, name) {
  const how = { name: AES, iv, additionalData: utf8(name) };
  return crypto.subtle.unwrapKey("pkcs8", data, key, how, HOLDER, false, ["sign"]);
}
