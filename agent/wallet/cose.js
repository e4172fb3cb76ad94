/*
 * Keys, codes and what stands in a credential: COSE and CWT of the native profile
 * (docs/native-profile.md), the holder's side.
 *
 * Exports: `makeKey`, `publicJwk`, `coseKey`, `thumbprint`, `present`, `presentStatic`, `describe`,
 * `fits`, `sha256`. Errors: `malformed`, `bad_credential`.
 *
 * Rules:
 * - holder keys are P-256 and sign ES256; WebCrypto's r || s is COSE's;
 * - the credential's own bytes go into `kcwt` unchanged, so that its signature holds;
 * - no zlib: it saves 3 bytes in one case of four;
 * - `describe` believes nothing: it cannot check the issuer's signature (the gate does), but refuses
 *   what a gate would refuse for its form, so that no unusable card is kept or drawn;
 * - a code names one place; `*` is written only if the caller says so.
 */

import { Raw, Tagged, base45, base64url, decode, encode, hex, utf8 } from "./codec.js";
import { WalletError } from "./errors.js";

const CURVE = Object.freeze({ name: "ECDSA", namedCurve: "P-256" });
const ES256 = Object.freeze({ name: "ECDSA", hash: "SHA-256" });
const SIGN1 = 18;
const CWT = 61;
const ALG = 1;
const CRIT = 2;
const KID = 4;
const KCWT = 13;
const TYP = 16;
const KB_TYP = 294;
const SD_CWT_TYP = 293;
const PREFIX = "NI1:";
const VCT = "urn:idgate:vct:";
const LONGEST_CODE = 4296;
const LATEST = 253402300799;

const ISS = 1, SUB = 2, AUD = 3, EXP = 4, NBF = 5, IAT = 6, CTI = 7, CNF = 8, VCT_CLAIM = 11;
const CNONCE = 39, IDENTITY = 169, STATUS = 65535;
const LEVEL = -65537, REGIONS = -65538, BUSINESS = -65539, DETAILS = -65540, REALM = -65541;
const KNOWN = new Set([
  ISS, SUB, AUD, EXP, NBF, IAT, CTI, CNF, VCT_CLAIM, IDENTITY, STATUS, LEVEL, REGIONS, DETAILS,
  REALM,
]);
const FACE = 62;

const bad = (what) => {
  throw new WalletError("bad_credential", { what });
};

// --- keys ------------------------------------------------------------------------------------

/** Make a holder's key pair; extractable only to be wrapped (see lock.js). */
export function makeKey({ extractable = false } = {}) {
  return crypto.subtle.generateKey(CURVE, extractable, ["sign", "verify"]);
}

/** Return `{kty, crv, x, y}` of a public CryptoKey, and no other member. */
export async function publicJwk(publicKey) {
  const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", publicKey);
  return { kty, crv, x, y };
}

/** Return the encoded COSE_Key of a public CryptoKey. */
export async function coseKey(publicKey) {
  const point = new Uint8Array(await crypto.subtle.exportKey("raw", publicKey));
  return encode(coseMap(point.slice(1, 33), point.slice(33)));
}

const coseMap = (x, y) => new Map([[1, 2], [-1, 1], [-2, x], [-3, y]]);

export async function sha256(bytes) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

/** Return the RFC 7638 thumbprint (SHA-256) of a P-256 JWK, 64 hexadecimal digits. */
export async function thumbprint({ kty, crv, x, y }) {
  return hex(await sha256(utf8(JSON.stringify({ crv, kty, x, y }))));
}

// --- codes -----------------------------------------------------------------------------------

/**
 * Sign a key binding token and return the text of a code.
 *
 * @param {Uint8Array} credential the issuer's tagged COSE_Sign1
 * @param {CryptoKey} privateKey the holder's
 * @param {{aud: string, iat: number, cnonce?: Uint8Array|null, ticket?: Uint8Array|null}} options
 *   `aud` SITE/GATE or SITE, `iat` Unix seconds, `cnonce` what the gate shows
 * @returns {Promise<string>} `NI1:` and base45
 */
export async function present(credential, privateKey, { aud, iat, cnonce = null, ticket = null }) {
  const header = new Map([[ALG, -7], [KCWT, new Raw(untagged(credential))], [TYP, KB_TYP]]);
  const claims = new Map([[AUD, aud], [IAT, iat]]);
  if (cnonce !== null) claims.set(CNONCE, cnonce);
  if (ticket !== null) claims.set(BUSINESS, untagged(ticket));
  const raw = encode(header);
  const body = encode(claims);
  const signed = encode(["Signature1", raw, new Uint8Array(), body]);
  const signature = new Uint8Array(await crypto.subtle.sign(ES256, privateKey, signed));
  return written(encode(new Tagged(SIGN1, [raw, new Map(), body, signature])));
}

/** Return the text of a static code: the credential as it is. */
export function presentStatic(credential) {
  return written(credential);
}

function written(message) {
  const text = PREFIX + base45(message);
  if (text.length > LONGEST_CODE) bad("larger than a code");
  return text;
}

/** Return a credential without the tag of a CWT around it. */
function untagged(bytes) {
  return bytes[0] === 0xd8 && bytes[1] === CWT ? bytes.slice(2) : bytes;
}

// --- what stands in a credential --------------------------------------------------------------

/**
 * Say what a credential holds.
 *
 * @param {Uint8Array} bytes
 * @returns {Promise<{iss: string, sub: string, kind: string, level: 1|2, iat: number, nbf: number,
 *   exp: number, regions: string[], aud: string[], status: {index: number, uri: string}|null,
 *   cti: string, holder: string|null, holderKey: object|null, birthDate: string|null, realm: string|null,
 *   details: Object<string, string|number>|null,
 *   references: {modality: "face"|"finger", form: "image"|"template", position: number,
 *     bytes: number}[]}>}
 *   times are Unix seconds, `exp` the first second that is too late; `holder` a thumbprint and
 *   `holderKey` its JWK, `cti` hexadecimal; `regions` and `aud` empty mean everywhere; `bytes` is a size
 * @throws {WalletError} `malformed`, `bad_credential`
 */
export async function describe(bytes) {
  const claims = opened(bytes);
  const time = (claim, absent) => {
    const value = claims.has(claim) ? claims.get(claim) : absent;
    return Number.isSafeInteger(value) && value >= 0 && value <= LATEST ? value : bad("a time");
  };
  const iat = time(IAT);
  const exp = time(EXP);
  const nbf = time(NBF, iat);
  if (exp <= iat || exp <= nbf) bad("exp is not after iat and nbf");
  for (const claim of claims.keys()) if (!KNOWN.has(claim)) bad("a claim that no gate knows");
  const cti = of(claims.get(CTI), Uint8Array);
  if (cti.length < 1 || cti.length > 64) bad("cti");
  const vct = string(claims.get(VCT_CLAIM) ?? `${VCT}unknown`);
  const level = claims.get(LEVEL) ?? 1;
  if (level !== 1 && level !== 2) bad("level");
  const holderKey = claims.has(CNF) ? holderJwk(claims.get(CNF)) : null;
  return {
    iss: string(claims.get(ISS)),
    sub: string(claims.get(SUB)),
    kind: vct.startsWith(VCT) ? vct.slice(VCT.length) : "unknown",
    level,
    iat,
    nbf,
    exp,
    regions: strings(claims.get(REGIONS) ?? []),
    aud: strings([claims.get(AUD) ?? []].flat()),
    status: status(claims.get(STATUS)),
    cti: hex(cti),
    holder: holderKey && (await thumbprint(holderKey)),
    holderKey,
    ...identity(claims.get(IDENTITY) ?? new Map()),
    realm: claims.has(REALM) ? string(claims.get(REALM)) : null,
    details: claims.has(DETAILS) ? details(claims.get(DETAILS)) : null,
  };
}

/** Return whether a ticket may stand beside an identity; both as `describe` returned them. */
export function fits(ticket, identity_) {
  if (ticket.cti === identity_.cti && ticket.iss === identity_.iss) return false;
  if (ticket.holder !== null) return ticket.holder === identity_.holder;
  return ticket.sub === identity_.sub && (ticket.realm ?? ticket.iss) === identity_.iss;
}

/** Return the claims of a well-formed credential. */
function opened(bytes) {
  let item = decode(bytes, { tags: [SIGN1, CWT] });
  if (item instanceof Tagged && item.number === CWT) item = item.value;
  if (!(item instanceof Tagged) || item.number !== SIGN1) bad("no tagged COSE_Sign1");
  const [raw, unprotected, payload, signature] = of(item.value, Array);
  if (item.value.length !== 4) bad("no COSE_Sign1");
  of(raw, Uint8Array);
  if (of(signature, Uint8Array).length === 0) bad("not signed");
  const header = of(decode(raw), Map);
  for (const label of of(unprotected, Map).keys()) {
    if (label === ALG || label === CRIT || header.has(label)) bad("a label in the wrong header");
  }
  if (!Number.isSafeInteger(header.get(ALG)) || of(header.get(KID), Uint8Array).length > 64) {
    bad("no alg or kid");
  }
  if (header.has(KCWT) || (header.has(TYP) && header.get(TYP) !== SD_CWT_TYP)) bad("typ");
  return of(decode(of(payload, Uint8Array)), Map);
}

function of(value, type) {
  return value instanceof type ? value : bad(`an element that is no ${type.name}`);
}

function string(value) {
  return typeof value === "string" && value !== "" ? value : bad("a text");
}

function strings(value) {
  if (!Array.isArray(value) || value.length > 64) bad("a list of texts");
  return value.map(string);
}

function holderJwk(cnf) {
  const key = of(of(cnf, Map).get(1), Map);
  if (key.has(-4)) bad("a private key");
  const [x, y] = [of(key.get(-2), Uint8Array), key.get(-3)];
  if (key.get(1) === 2 && key.get(-1) === 1 && x.length === 32 && of(y, Uint8Array).length === 32) {
    return { kty: "EC", crv: "P-256", x: base64url(x), y: base64url(y) };
  }
  return bad("a holder's key of another kind than this wallet makes");
}

function status(claim) {
  if (claim === undefined) return null;
  const list = of(of(claim, Map).get("status_list"), Map);
  const index = list.get("idx");
  if (!Number.isSafeInteger(index) || index < 0) bad("status");
  return { index, uri: string(list.get("uri")) };
}

function details(claim) {
  for (const [name, value] of of(claim, Map)) {
    if (typeof name !== "string" || !["string", "number"].includes(typeof value)) bad("details");
  }
  return Object.fromEntries(claim);
}

/** What claim 169 discloses: sizes, not contents. */
function identity(claim) {
  const references = [];
  for (const [position, entries] of of(claim, Map)) {
    if (position !== FACE && !(position >= 50 && position <= 59)) continue;
    for (const entry of of(entries, Array)) {
      const form = of(entry, Map).get(1);
      references.push({
        modality: position === FACE ? "face" : "finger",
        form: form === 0 ? "image" : "template",
        position,
        bytes: of(entry.get(0), Uint8Array).length,
      });
    }
  }
  return { birthDate: claim.has(8) ? string(claim.get(8)) : null, references };
}
