/*
 * OpenID4VCI 1.0, the wallet's side of each step; keeps nothing (vci.js does).
 *
 * Exports: `knownIssuers`, `offerOf`, `readOffer`, `metadataOf`, `redeem`, `renew`, `request`,
 * `notify`. Errors: those of http.js, and of errors.js from `unknown_issuer` to `refresh_refused`.
 *
 * Rules:
 * - only issuers of `issuers.json` beside these files; nothing is fetched from anybody else, not even
 *   an offer; `credential_issuer` is compared as it is written, character by character;
 * - metadata at `/.well-known/...` between host and path; every endpoint on the issuer's own origin;
 * - of an offer: the pre-authorized code grant, and configurations of format `sd-cwt`; formats that
 *   are not known are passed over;
 * - a proof for each key: `openid4vci-proof+jwt`, ES256, `jwk`, no `iss` (nobody's client);
 * - a refused nonce is asked for anew once;
 * - what comes must be bound to one of the keys that were proved, each once, of the kind that was
 *   offered, and not over; otherwise all of it is refused;
 * - names and colours of an issuer are cut to size, pictures are left out: no third-party request.
 */

import { base64url, unbase64url, utf8 } from "./codec.js";
import { describe } from "./cose.js";
import { WalletError } from "./errors.js";
import { ask, secure } from "./http.js";

const GRANT = "urn:ietf:params:oauth:grant-type:pre-authorized_code";
const FORMAT = "sd-cwt";
const VCT = "urn:idgate:vct:";
const MOST = 20;

const fail = (code, detail) => {
  throw new WalletError(code, detail);
};
const isText = (value, most = 4096) =>
  typeof value === "string" && value !== "" && value.length <= most;
const object = (value) => (value && typeof value === "object" && !Array.isArray(value) ? value : {});
const list = (value) => (Array.isArray(value) ? value.slice(0, MOST) : []);

// --- issuers ---------------------------------------------------------------------------------

/** Return the identifiers of the issuers that this wallet takes cards from. */
export async function knownIssuers() {
  const { status, body } = await ask(new URL("./issuers.json", import.meta.url));
  const issuers = list(object(body).issuers).filter((issuer) => isText(issuer));
  return status === 200 ? issuers : fail("bad_answer", { what: "issuers.json" });
}

/** Refuse an address that is on the origin of no issuer in the list. */
export function expectKnown(address, issuers) {
  const url = secure(address);
  if (!issuers.some((issuer) => new URL(issuer).origin === url.origin)) {
    fail("unknown_issuer", { host: url.host });
  }
  return url;
}

const display = (entries) =>
  list(entries).map((entry) => {
    const { locale, name, background_color: background, text_color: text } = object(entry);
    const colour = (value) => (/^#[0-9a-f]{6}$/i.test(value) ? value : null);
    return {
      locale: isText(locale, 35) ? locale : null,
      name: isText(name, 200) ? name : "",
      background: colour(background),
      text: colour(text),
    };
  });

/**
 * Fetch what an issuer says of itself.
 *
 * @returns {Promise<{issuer: string, host: string, display: object[], batch: number,
 *   configurations: Map<string, {kind: string, display: object[]}>, endpoints: {token, credential,
 *   nonce, notification}}>} `nonce` and `notification` may be null
 */
export async function metadataOf(issuer, issuers) {
  if (!issuers.includes(issuer)) fail("unknown_issuer", { host: hostOf(issuer) });
  const said = await wellKnown(issuer, "openid-credential-issuer");
  if (said.credential_issuer !== issuer) fail("issuer_mismatch", { host: hostOf(issuer) });
  const [server = issuer] = list(said.authorization_servers);
  const authority = await wellKnown(own(server, issuer), "oauth-authorization-server");
  if (authority.issuer !== server) fail("issuer_mismatch", { host: hostOf(issuer) });
  const offered = Object.entries(object(said.credential_configurations_supported));
  const known = offered.filter(([, one]) => object(one).format === FORMAT && isText(one.vct));
  const batch = object(said.batch_credential_issuance).batch_size;
  const optional = (address) => (address === undefined ? null : own(address, issuer));
  return {
    issuer,
    host: hostOf(issuer),
    display: display(said.display),
    batch: Number.isSafeInteger(batch) && batch > 1 ? Math.min(batch, MOST) : 1,
    configurations: new Map(
      known.map(([id, one]) => [
        id,
        {
          kind: one.vct.startsWith(VCT) ? one.vct.slice(VCT.length) : one.vct,
          display: display(one.display ?? object(one.credential_metadata).display),
        },
      ]),
    ),
    endpoints: {
      token: own(authority.token_endpoint, issuer),
      credential: own(said.credential_endpoint, issuer),
      nonce: optional(said.nonce_endpoint),
      notification: optional(said.notification_endpoint),
    },
  };
}

const hostOf = (address) => {
  try {
    return new URL(address).host;
  } catch {
    return String(address).slice(0, 100);
  }
};

/** Return an address of the issuer's metadata, which must be on its own origin. */
function own(address, issuer) {
  if (!isText(address)) fail("bad_answer", { what: "an endpoint is missing" });
  const url = secure(address);
  if (url.origin !== new URL(issuer).origin) fail("issuer_mismatch", { host: url.host });
  return address;
}

async function wellKnown(identifier, name) {
  const url = secure(identifier);
  const path = url.pathname.replace(/\/$/, "");
  const { status, body } = await ask(new URL(`/.well-known/${name}${path}`, url));
  if (status !== 200) fail("bad_answer", { what: name, status });
  return object(body);
}

// --- offers ----------------------------------------------------------------------------------

/** Return where an offer is, or itself, out of a scanned or pasted text; null: it is none. */
export function offerOf(text) {
  let url;
  try {
    url = new URL(text.trim());
  } catch {
    return null;
  }
  const scheme = url.protocol === "openid-credential-offer:";
  const given = scheme ? url.searchParams : new URLSearchParams(url.hash.slice(1));
  if (given.has("credential_offer_uri")) return { uri: given.get("credential_offer_uri") };
  if (given.has("credential_offer")) return { json: given.get("credential_offer") };
  return /^https?:$/.test(url.protocol) && /\/offers\/[^/]+$/.test(url.pathname)
    ? { uri: url.href }
    : null;
}

/**
 * Read an offer and its issuer's metadata; nothing is spent by it.
 *
 * @param {string} text what was scanned, pasted, or stood in the page's own address
 * @param {{issuers?: string[]}} options the known issuers, where not those of `issuers.json`
 * @returns {Promise<{issuer: string, host: string, code: string, holder: string|null,
 *   transactionCode: {numeric: boolean, length: number|null, description: string}|null,
 *   cards: {configuration: string, kind: string, display: object[]}[], metadata: object}>}
 *   `host` is to be shown before a transaction code is asked for
 */
export async function readOffer(text, { issuers } = {}) {
  const where = offerOf(text) ?? fail("not_ours");
  const known = issuers ?? (await knownIssuers());
  const offer = object(where.uri === undefined ? parsed(where.json) : await fetched(where.uri, known));
  const issuer = offer.credential_issuer;
  if (!isText(issuer)) fail("bad_answer", { what: "an offer without issuer" });
  const metadata = await metadataOf(issuer, known);
  const grant = object(object(offer.grants)[GRANT]);
  const code = grant["pre-authorized_code"];
  if (!isText(code)) fail("unsupported", { what: "the grant" });
  const cards = list(offer.credential_configuration_ids)
    .filter((id) => metadata.configurations.has(id))
    .map((id) => ({ configuration: id, ...metadata.configurations.get(id) }));
  if (cards.length === 0) fail("unsupported", { what: "the format" });
  const { holder } = object(offer.idgate);
  if (holder !== undefined && !/^[0-9a-f]{64}$/.test(holder)) fail("bad_answer", { what: "holder" });
  return {
    issuer,
    host: metadata.host,
    code,
    holder: holder ?? null,
    transactionCode: grant.tx_code === undefined ? null : transaction(object(grant.tx_code)),
    cards,
    metadata,
  };
}

const transaction = ({ input_mode: mode, length, description }) => ({
  numeric: mode !== "text",
  length: Number.isSafeInteger(length) && length > 0 && length < 100 ? length : null,
  description: isText(description, 300) ? description : "",
});

function parsed(json) {
  try {
    return JSON.parse(json);
  } catch {
    return fail("malformed", { what: "an offer" });
  }
}

async function fetched(uri, issuers) {
  const { status, body } = await ask(expectKnown(uri, issuers));
  return status === 200 ? body : refused(body, status, OFFER);
}

// --- what issuers refuse ---------------------------------------------------------------------

const OFFER = {
  used: "offer_used",
  expired: "offer_expired",
  locked: "offer_locked",
  killed: "offer_gone",
  unknown: "offer_gone",
  transaction_wrong: "code_wrong",
  transaction_missing: "code_needed",
  transaction_unexpected: "bad_answer",
  invalid_offer: "offer_gone",
  not_found: "offer_gone",
  invalid_grant: "offer_gone",
  invalid_tx_code: "code_wrong",
  unsupported_grant_type: "unsupported",
  invalid_client: "unsupported",
  unauthorized_client: "unsupported",
};
const CREDENTIAL = {
  invalid_token: "session_expired",
  invalid_nonce: "nonce_refused",
  invalid_proof: "proof_refused",
  credential_request_denied: "denied",
  unknown_credential_configuration: "unsupported",
  unknown_credential_identifier: "unsupported",
  invalid_encryption_parameters: "unsupported",
};

/** Throw what a refusal means; the desk's own finer word comes before the standard's. */
function refused(body, status, table, otherwise = "bad_answer") {
  const { error, idgate_reason: reason, error_description: description, tries_left: left } = object(body);
  const name = [reason, error].find((word) => isText(word) && Object.hasOwn(table, word));
  const silent = { 401: table.invalid_token, 404: table.not_found, 410: table.not_found }[status];
  return fail(name === undefined ? (silent ?? otherwise) : table[name], {
    status,
    error: isText(error, 100) ? error : "",
    description: isText(description, 500) ? description : "",
    ...(Number.isSafeInteger(left) ? { left } : {}),
  });
}

// --- tokens ----------------------------------------------------------------------------------

function tokens(body) {
  const { access_token: access, token_type: type, expires_in: seconds, refresh_token: refresh } = body;
  if (!isText(access) || String(type).toLowerCase() !== "bearer") fail("bad_answer", { what: "token" });
  const [details] = list(body.authorization_details).map(object);
  const identifier = list(details?.credential_identifiers)[0];
  return {
    access,
    refresh: isText(refresh) ? refresh : null,
    seconds: Number.isFinite(seconds) && seconds > 0 ? seconds : 300,
    identifier: isText(identifier) ? identifier : null,
  };
}

/** Redeem an offer's code: `{access, refresh|null, seconds, identifier|null}`. Spends it. */
export async function redeem(offer, transactionCode = null) {
  const wanted = offer.transactionCode;
  if (wanted !== null && !transactionCode) fail("code_needed", { length: wanted.length });
  const form = { grant_type: GRANT, "pre-authorized_code": offer.code };
  if (wanted !== null) form.tx_code = transactionCode.replace(/[\s-]/g, "");
  const { status, body } = await ask(offer.metadata.endpoints.token, { form });
  if (status === 200) return tokens(object(body));
  // Others' desks say no more than `invalid_grant`: of the two the wrong code is the likelier.
  const table = wanted === null ? OFFER : { ...OFFER, invalid_grant: "code_wrong" };
  return refused(body, status, table, "unsupported");
}

/** Get a new access token for a card that is held. Spends the refresh token. */
export async function renew(metadata, refreshToken) {
  const form = { grant_type: "refresh_token", refresh_token: refreshToken };
  const { status, body } = await ask(metadata.endpoints.token, { form });
  return status === 200 ? tokens(object(body)) : refused(body, status, {}, "refresh_refused");
}

// --- credentials -----------------------------------------------------------------------------

async function proof({ jwk, privateKey }, claims) {
  const header = { typ: "openid4vci-proof+jwt", alg: "ES256", jwk };
  const parts = [header, claims].map((part) => base64url(utf8(JSON.stringify(part))));
  const signed = utf8(parts.join("."));
  const how = { name: "ECDSA", hash: "SHA-256" };
  const signature = new Uint8Array(await crypto.subtle.sign(how, privateKey, signed));
  return [...parts, base64url(signature)].join(".");
}

async function nonce(metadata) {
  if (metadata.endpoints.nonce === null) return null;
  const { status, body } = await ask(metadata.endpoints.nonce, { post: true, again: true });
  const { c_nonce: value } = object(body);
  return status === 200 && isText(value) ? value : fail("bad_answer", { what: "nonce", status });
}

/**
 * Fetch credentials, one a key.
 *
 * @param {object} metadata as `metadataOf` returned it
 * @param {{access: string, identifier: string|null}} token
 * @param {{configuration: string, holders: {jwk, privateKey, thumbprint}[], now: number,
 *   previous?: Uint8Array|null}} wanted `now` Unix seconds; `previous` the credential that is renewed
 * @returns {Promise<{credentials: {bytes: Uint8Array, holder: object}[],
 *   notification: string|null}>}
 */
export async function request(metadata, token, { configuration, holders, now, previous = null }) {
  const body = { credential_configuration_id: configuration };
  if (token.identifier !== null) {
    delete body.credential_configuration_id;
    body.credential_identifier = token.identifier;
  }
  if (previous !== null) body.idgate_previous = base64url(previous);
  for (let tried = 0; ; tried += 1) {
    const claims = { aud: metadata.issuer, iat: now, nonce: (await nonce(metadata)) ?? undefined };
    const jwt = await Promise.all(holders.map((holder) => proof(holder, claims)));
    const answer = await ask(metadata.endpoints.credential, {
      json: { ...body, proofs: { jwt } },
      token: token.access,
    });
    if (answer.status === 200) return received(answer.body, metadata, configuration, holders, now);
    if (answer.status === 202) fail("later");
    if (object(answer.body).error !== "invalid_nonce" || tried > 0) {
      refused(answer.body, answer.status, CREDENTIAL);
    }
  }
}

async function received(body, metadata, configuration, holders, now) {
  const entries = list(object(body).credentials).map(object);
  const notification = object(body).notification_id;
  const id = isText(notification) ? notification : null;
  try {
    if (entries.length === 0 || entries.length > holders.length) bad("how many");
    const left = new Map(holders.map((holder) => [holder.thumbprint, holder]));
    const credentials = [];
    for (const { credential } of entries) {
      const bytes = unbase64url(credential);
      const said = await describe(bytes);
      const holder = left.get(said.holder) ?? bad("bound to another key");
      left.delete(said.holder);
      if (said.kind !== metadata.configurations.get(configuration)?.kind) bad("another kind");
      if (said.exp <= now) bad("over already");
      credentials.push({ bytes, holder });
    }
    return { credentials, notification: id };
  } catch (error) {
    const what = error.detail?.what;
    throw new WalletError("bad_credential", { what, notification: id }, error);
  }
}

const bad = (what) => fail("bad_credential", { what });

/** Tell the issuer `credential_accepted`, `_failure` or `_deleted`; repeated without harm. */
export async function notify(metadata, access, notification, event) {
  if (metadata.endpoints.notification === null || notification === null) return;
  const json = { notification_id: notification, event };
  const { status, body } = await ask(metadata.endpoints.notification, { json, token: access, again: true });
  if (status >= 400) refused(body, status, CREDENTIAL);
}
