/*
 * Making the basic card oneself: an invitation, its form, and the offer that answers it.
 *
 * Exports: `readInvitation`, `invitationOf`, `answer`. Errors: `not_ours`, `unknown_issuer`,
 * `invitation_gone`, `form_refused`, `picture_refused`, `bad_answer`, those of http.js.
 *
 * Rules:
 * - an invitation is an address on a known issuer's origin; nothing is fetched from others;
 * - what the form asks, the desk says; unknown fields are refused rather than left out unseen;
 * - `detail.reason` is the desk's own word (`consent`, `field`, `picture`; `turns`: open it again);
 * - pictures are JPEG, one a turn, 600 KiB each, and leave this page only with consent to the
 *   biometric; the interface draws them anew before, which drops what the camera wrote beside them;
 * - the answer is an offer without transaction code: it is this same phone.
 */

import { WalletError } from "./errors.js";
import { ask } from "./http.js";
import { expectKnown, knownIssuers, readOffer } from "./protocol.js";

const FIELDS = ["name", "birth_date", "email"];
const TURNS = ["front", "left", "right", "up", "down"];
const PICTURE_BYTES = 600 * 1024;
const MOST_PICTURES = 4;
const REFUSALS = { 404: "invitation_gone", 410: "invitation_gone" };

const fail = (code, detail) => {
  throw new WalletError(code, detail);
};
const isText = (value, most) => typeof value === "string" && value !== "" && value.length <= most;

/** Return the address of an invitation out of a scanned or pasted text; null: it is none. */
export function invitationOf(text) {
  let url;
  try {
    url = new URL(text.trim());
  } catch {
    return null;
  }
  if (!/^https?:$/.test(url.protocol)) return null;
  const given = new URLSearchParams(url.hash.slice(1));
  if (given.has("invitation")) return given.get("invitation");
  return /\/invitations\/[^/]+$/.test(url.pathname) ? url.href : null;
}

/**
 * Fetch an invitation; nothing is spent by it.
 *
 * @returns {Promise<{address: string, host: string, place: object, kind: string,
 *   fields: {name: string, required: boolean}[], face: "none"|"optional"|"required",
 *   turns: string[], turnsToken: string|null,
 *   consent: {version: string, text: Object<string, string>}}>}
 */
export async function readInvitation(text, { issuers } = {}) {
  const known = issuers ?? (await knownIssuers());
  const url = expectKnown(invitationOf(text) ?? fail("not_ours"), known);
  const { status, body } = await ask(url);
  if (status !== 200) refused(status, body);
  const { place, kind, fields, face, turns = [], turns_token: token, consent } = body ?? {};
  const sound =
    isText(kind, 100) &&
    Array.isArray(fields) &&
    fields.every((field) => FIELDS.includes(field?.name)) &&
    ["none", "optional", "required"].includes(face) &&
    Array.isArray(turns) &&
    turns.length <= MOST_PICTURES &&
    turns.every((turn) => TURNS.includes(turn)) &&
    (typeof consent?.version === "string" || Number.isSafeInteger(consent?.version)) &&
    typeof consent?.text === "object";
  if (!sound) fail("bad_answer", { what: "an invitation" });
  return {
    address: url.href,
    host: url.host,
    place: typeof place === "object" && place !== null ? place : {},
    kind,
    fields: fields.map(({ name, required }) => ({ name, required: required === true })),
    face,
    turns,
    turnsToken: isText(token, 4096) ? token : null,
    consent: { version: consent.version, text: consent.text },
  };
}

/**
 * Answer an invitation, and read the offer that it brings.
 *
 * @param {object} invitation as `readInvitation` returned it
 * @param {{name: string, birthDate?: string, email?: string, language: string,
 *   consent: {given: boolean, biometric: boolean}, pictures?: Uint8Array[]}} form `pictures` are
 *   JPEGs in the order of `invitation.turns`
 * @returns {Promise<object>} an offer for `vci.take`
 */
export async function answer(invitation, form, { issuers } = {}) {
  const { name, birthDate, email, language, consent, pictures = [] } = form;
  if (consent?.given !== true) fail("form_refused", { field: "consent" });
  if (pictures.length > 0 && consent.biometric !== true) fail("form_refused", { field: "consent" });
  if (pictures.some((picture) => picture.length > PICTURE_BYTES)) fail("picture_refused");
  const json = {
    name,
    language,
    consent: {
      version: invitation.consent.version,
      given: true,
      biometric: consent.biometric === true,
    },
  };
  if (birthDate) json.birth_date = birthDate;
  if (email) json.email = email;
  if (pictures.length > 0) {
    json.pictures = pictures.map(base64);
    json.turns_token = invitation.turnsToken;
  }
  const { status, body } = await ask(invitation.address, { json, slow: true });
  if (status !== 200 && status !== 201) refused(status, body);
  const uri = body?.credential_offer_uri;
  if (!isText(uri, 4096)) fail("bad_answer", { what: "no offer" });
  const link = `openid-credential-offer://?credential_offer_uri=${encodeURIComponent(uri)}`;
  return readOffer(link, { issuers });
}

function base64(bytes) {
  let raw = "";
  for (let at = 0; at < bytes.length; at += 0x8000) {
    raw += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  }
  return btoa(raw);
}

function refused(status, body) {
  const { error, idgate_reason: reason, error_description: words, field } = body ?? {};
  const told = {
    status,
    error: isText(error, 100) ? error : "",
    reason: isText(reason, 100) ? reason : "",
    description: isText(words, 500) ? words : "",
  };
  if (status in REFUSALS || error === "invalid_invitation") fail("invitation_gone", told);
  if ([reason, error].some((word) => /picture|face|turn/.test(word ?? ""))) fail("picture_refused", told);
  return fail("form_refused", { ...told, field: isText(field, 40) ? field : "" });
}
