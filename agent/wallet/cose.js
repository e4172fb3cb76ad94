/*
 * Keys, codes and what stands in a credential: COSE and CWT of the native profile
 * (docs/native-profile.md), the holder's side.
 *
 * Exports: `makeKey`, `publicJwk`, `coseKey`, `thumbprint`, `present`, `presentStatic`, `disclosed`,
 * `describe`, `fits`, `sha256`. Errors: `malformed`, `bad_credential`.
 *
 * Rules:
 * - holder keys are P-256 and sign ES256; WebCrypto's r || s is COSE's;
 * - the credential's own bytes go into `kcwt` unchanged, so that its signature holds; only
 *   disclosures, which it does not cover, are left out of them;
 * - a credential is of version 2 where its `vct` is a number, and its codes begin with `NI2:`;
 * - no zlib: it saves 3 bytes in one case of four;
 * - `describe` believes nothing: it cannot check the issuer's signature (the gate does), but refuses
 *   what a gate would refuse for its form, so that no unusable card is kept or drawn;
 * - a code names one place; `*` is written only if the caller says so.
 */

import { Raw, Tagged, base45, base64url, decode, encode, hex, unhex, utf8 } from "./codec.js";
import { chosen, listed, restored } from "./disclosure.js";
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
const SD_CLAIMS = 17;
const SD_ALG = 170;
const SHA_256 = -16;
const PREFIX = { 1: "NI1:", 2: "NI2:" };
const VCT = "urn:idgate:vct:";
const LONGEST_CODE = 4296;
const LATEST = 253402300799;

const ISS = 1, SUB = 2, AUD = 3, EXP = 4, NBF = 5, IAT = 6, CTI = 7, CNF = 8, VCT_CLAIM = 11;
const CNONCE = 39, IDENTITY = 169, STATUS = 65535;
const LEVEL = -65537, REGIONS = -65538, BUSINESS = -65539, DETAILS = -65540, REALM = -65541;
const AGES = -65542;
const KNOWN = new Set([
  ISS, SUB, AUD, EXP, NBF, IAT, CTI, CNF, VCT_CLAIM, IDENTITY, STATUS, LEVEL, REGIONS, DETAILS,
  REALM,
]);
const KNOWN_COMPACT = new Set([...KNOWN, AGES]);
KNOWN_COMPACT.delete(ISS);
const FACE = 62;
const OLDEST = 150;
/** `vct` of version 2. */
const KINDS = new Map([
  "online-id", "driving-licence", "social-security-card", "residence-permit", "business-licence",
  "passport", "hk-macau-permit", "rail-ticket", "library-card", "event-ticket", "transit-code",
  "health-certificate", "national-id",
].map((kind, at) => [at + 1, kind]));
/** The field and the curve of P-256: y^2 = x^3 - 3x + b. */
const P = 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n;
const B = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn;

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
 * @param {{aud: string, iat: number, cnonce?: Uint8Array|null, ticket?: Uint8Array|null,
 *   needs?: string[]|null}} options
 *   `aud` SITE/GATE or SITE, `iat` Unix seconds, `cnonce` what the gate shows, `needs` see `disclosed`
 * @returns {Promise<string>} `NI1:` or `NI2:` and base45
 */
export async function present(
  credential, privateKey, { aud, iat, cnonce = null, ticket = null, needs = null },
) {
  const shown = untagged(await disclosed(credential, needs));
  const header = new Map([[ALG, -7], [KCWT, new Raw(shown)], [TYP, KB_TYP]]);
  const claims = new Map([[AUD, aud], [IAT, iat]]);
  if (cnonce !== null) claims.set(CNONCE, cnonce);
  if (ticket !== null) claims.set(BUSINESS, untagged(ticket));
  const raw = encode(header);
  const body = encode(claims);
  const signed = encode(["Signature1", raw, new Uint8Array(), body]);
  const signature = new Uint8Array(await crypto.subtle.sign(ES256, privateKey, signed));
  return written(encode(new Tagged(SIGN1, [raw, new Map(), body, signature])), versionOf(credential));
}

/** Return the text of a static code: the credential as it is; gates take none with parts apart. */
export function presentStatic(credential) {
  return written(credential, versionOf(credential));
}

/**
 * Return a credential with those disclosures only that a place is shown.
 *
 * @param {Uint8Array} credential
 * @param {string[]|null} needs words of the place's code; null: face, finger and ages
 * @returns {Promise<Uint8Array>} the same bytes where nothing is left out
 */
export async function disclosed(credential, needs) {
  const { raw, unprotected, payload, signature, claims } = opened(credential);
  if (!Number.isSafeInteger(claims.get(VCT_CLAIM)) || !unprotected.has(SD_CLAIMS)) return credential;
  const all = await listed(unprotected.get(SD_CLAIMS));
  const { parts } = restored(claims, all);
  const open = [...of(claims.get(AGES) ?? new Map(), Map).keys()].filter(Number.isSafeInteger);
  const words = chosen(parts.values(), needs, open);
  const kept = [...all].filter(([digest]) => words.has(parts.get(digest))).map(([, bytes]) => bytes);
  if (kept.length === all.size) return credential;
  const rest = new Map(unprotected);
  rest.delete(SD_CLAIMS);
  if (kept.length > 0) rest.set(SD_CLAIMS, kept);
  return encode(new Tagged(SIGN1, [raw, rest, payload, signature]));
}

const versionOf = (credential) =>
  Number.isSafeInteger(opened(credential).claims.get(VCT_CLAIM)) ? 2 : 1;

function written(message, version) {
  const text = PREFIX[version] + base45(message);
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
 * @returns {Promise<{version: 1|2, iss: string|null, kid: string, sub: string, kind: string,
 *   level: 1|2, iat: number, nbf: number,
 *   exp: number, regions: string[], aud: string[], status: {index: number, uri: string}|null,
 *   cti: string|null, holder: string|null, holderKey: object|null, birthDate: string|null,
 *   realm: string|null, details: Object<string, string|number>|null, ages: number[], names: string[],
 *   references: {modality: "face"|"finger", form: "image"|"template", position: number,
 *     bytes: number}[], parts: string[], undisclosed: number}>}
 *   times are Unix seconds, `exp` the first second that is too late; `holder` a thumbprint and
 *   `holderKey` its JWK, `kid` and `cti` hexadecimal; `regions` and `aud` empty mean everywhere; `bytes`
 *   is a size; `parts` the words under which its disclosures are asked for ("" for none),
 *   `undisclosed` how many it lacks; `iss` is null in version 2, which leaves it to the key
 * @throws {WalletError} `malformed`, `bad_credential`
 */
export async function describe(bytes) {
  const { header, unprotected, claims: signed } = opened(bytes);
  const version = Number.isSafeInteger(signed.get(VCT_CLAIM)) ? 2 : 1;
  const all = version === 2 ? await listed(unprotected.get(SD_CLAIMS)) : new Map();
  const { claims, digests, parts } = restored(signed, all);
  if (digests > 0 && version === 1) bad("parts apart, in version 1");
  if (digests > 0 && !claims.has(CNF)) bad("parts apart, and bound to no key");
  if (digests > 0 && (header.get(SD_ALG) ?? SHA_256) !== SHA_256) bad("sd_alg");
  const time = (claim, absent) => {
    const value = claims.has(claim) ? claims.get(claim) : absent;
    return Number.isSafeInteger(value) && value >= 0 && value <= LATEST ? value : bad("a time");
  };
  const iat = time(IAT);
  const exp = time(EXP);
  const nbf = time(NBF, iat);
  if (exp <= iat || exp <= nbf) bad("exp is not after iat and nbf");
  const known = version === 2 ? KNOWN_COMPACT : KNOWN;
  for (const claim of claims.keys()) if (!known.has(claim)) bad("a claim that no gate knows");
  const level = claims.get(LEVEL) ?? 1;
  if (level !== 1 && level !== 2) bad("level");
  const holderKey = claims.has(CNF) ? holderJwk(claims.get(CNF), version) : null;
  return {
    version,
    iss: version === 2 ? null : string(claims.get(ISS)),
    kid: hex(header.get(KID)),
    sub: subject(claims.get(SUB), version),
    kind: kindOf(claims.get(VCT_CLAIM), version),
    level,
    iat,
    nbf,
    exp,
    regions: strings(claims.get(REGIONS) ?? []),
    aud: strings([claims.get(AUD) ?? []].flat()),
    status: status(claims.get(STATUS)),
    cti: version === 2 && !claims.has(CTI) ? null : hex(identifier(claims.get(CTI))),
    holder: holderKey && (await thumbprint(holderKey)),
    holderKey,
    ...identity(claims.get(IDENTITY) ?? new Map()),
    realm: claims.has(REALM) ? string(claims.get(REALM)) : null,
    details: claims.has(DETAILS) ? details(claims.get(DETAILS)) : null,
    ages: ages(claims.get(AGES) ?? new Map()),
    parts: [...parts.values()],
    undisclosed: digests - parts.size,
  };
}

/**
 * Return whether a ticket may stand beside an identity; both as `describe` returned them, with
 * `source`, the identifier of who delivered it, where that is known.
 *
 * An identity of version 2 does not say its issuer by name: a ticket that names one (`realm`) is
 * offered, and the gate holds it against the names that it has for the key.
 */
export function fits(ticket, identity_) {
  const same = sameIssuer(ticket, identity_);
  if (ticket.cti === null || ticket.undisclosed + ticket.parts.length > 0) return false;
  if (same && ticket.cti === identity_.cti) return false;
  if (same && ticket.kind === identity_.kind && ticket.sub === identity_.sub) return false;
  if (ticket.holder !== null) return ticket.holder === identity_.holder;
  if (ticket.sub !== identity_.sub) return false;
  if (ticket.realm === null) return same;
  return identity_.iss === null || ticket.realm === identity_.iss;
}

/** By `iss` where both have it, else by their key's id or by who delivered them. */
function sameIssuer(a, b) {
  if (a.iss !== null && b.iss !== null) return a.iss === b.iss;
  if (a.kid.startsWith(b.kid) || b.kid.startsWith(a.kid)) return true;
  return a.source !== undefined && a.source === b.source;
}

/** Return the elements, header and claims of a well-formed credential. */
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
  if (!Number.isSafeInteger(header.get(ALG))) bad("no alg");
  identifier(header.get(KID));
  if (header.has(KCWT) || (header.has(TYP) && header.get(TYP) !== SD_CWT_TYP)) bad("typ");
  const claims = of(decode(of(payload, Uint8Array), { redacted: true }), Map);
  return { raw, unprotected, payload, signature, header, claims };
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

function subject(value, version) {
  if (version === 1 || !(value instanceof Uint8Array)) return string(value);
  return hex(identifier(value));
}

function identifier(value) {
  const { length } = of(value, Uint8Array);
  return length >= 1 && length <= 64 ? value : bad("an identifier of no or too many bytes");
}

function kindOf(vct, version) {
  if (version === 2) return vct > 0 ? (KINDS.get(vct) ?? "unknown") : bad("vct");
  const named = string(vct ?? `${VCT}unknown`);
  return named.startsWith(VCT) ? named.slice(VCT.length) : "unknown";
}

function ages(claim) {
  for (const [age, reached] of of(claim, Map)) {
    if (reached !== true || !(Number.isSafeInteger(age) && age > 0 && age <= OLDEST)) bad("an age");
  }
  return [...claim.keys()].sort((a, b) => a - b);
}

function holderJwk(cnf, version) {
  const key = of(of(cnf, Map).get(1), Map);
  if (key.has(-4)) bad("a private key");
  const x = of(key.get(-2), Uint8Array);
  const sign = key.get(-3);
  const y = version === 2 && typeof sign === "boolean" && x.length === 32 ? yOf(x, sign) : sign;
  if (key.get(1) === 2 && key.get(-1) === 1 && x.length === 32 && of(y, Uint8Array).length === 32) {
    return { kty: "EC", crv: "P-256", x: base64url(x), y: base64url(y) };
  }
  return bad("a holder's key of another kind than this wallet makes");
}

/** Return the y of a compressed point of P-256 (SEC 1, 2.3.4), 32 bytes. */
function yOf(x, odd) {
  const number = BigInt(`0x${hex(x)}`);
  const square = (number * number * number - 3n * number + B) % P;
  let root = 1n;
  for (let base = square, left = (P + 1n) / 4n; left > 0n; left >>= 1n, base = (base * base) % P) {
    if (left & 1n) root = (root * base) % P;
  }
  if (number >= P || (root * root - square) % P !== 0n) bad("a point that is not on the curve");
  const y = (root & 1n) === BigInt(odd) ? root : P - root;
  return unhex(y.toString(16).padStart(64, "0"));
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
  const names = [4, 5, 6, 7].map((label) => of(claim, Map).get(label));
  for (const [position, entries] of claim) {
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
  return {
    birthDate: claim.has(8) ? string(claim.get(8)) : null,
    names: names.filter((name) => typeof name === "string"),
    references,
  };
}
