/*
 * The device's own check of its owner: WebAuthn by the platform's authenticator.
 *
 * Exports: `offered`, `enrol`, `check`. Errors: `check_refused`, `check_unavailable`,
 * `check_failed`.
 *
 * Rules:
 * - platform authenticator, user verification required, no attestation; the flag is looked at, not
 *   only asked for;
 * - challenge, type, origin, RP ID, user verification and signature of each answer are checked here.
 *   Only this page checks them: without PRF they guard the interface, not the bytes;
 * - PRF (a secret of the authenticator, given out with the check) is used wherever it is there.
 *   A first check may follow enrolment, as some devices give the secret only then;
 * - the RP ID must be a domain: an address such as 192.168.1.2 has no check of its own.
 */

import { base64url, utf8 } from "./codec.js";
import { sha256 } from "./cose.js";
import { WalletError } from "./errors.js";

const ES256 = -7;
const RS256 = -257; // Windows Hello
const TIMEOUT_MS = 60_000;
const USER_PRESENT = 1;
const USER_VERIFIED = 4;
const IMPORT = {
  [ES256]: { name: "ECDSA", namedCurve: "P-256" },
  [RS256]: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
};
const VERIFY = { [ES256]: { name: "ECDSA", hash: "SHA-256" }, [RS256]: IMPORT[RS256] };

const random = (bytes) => crypto.getRandomValues(new Uint8Array(bytes));

/** Return whether this device at this address has a check of its own. */
export async function offered() {
  const name = globalThis.location?.hostname ?? "";
  const address = /^[0-9.]+$|:/.test(name.replace(/^\[|\]$/g, ""));
  if (address || globalThis.PublicKeyCredential === undefined) return false;
  return PublicKeyCredential.isUserVerifyingPlatformAuthenticatorAvailable();
}

async function asked(prompt) {
  let answer;
  try {
    answer = await prompt();
  } catch (error) {
    const refused = ["NotAllowedError", "AbortError", "InvalidStateError"].includes(error?.name);
    throw new WalletError(refused ? "check_refused" : "check_unavailable", { name: error?.name }, error);
  }
  if (answer === null) throw new WalletError("check_refused");
  return answer;
}

/** Check what does not need the key: client data and authenticator data. */
async function checkData(response, data, type, challenge, rpId) {
  const failed = (what) => {
    throw new WalletError("check_failed", { what });
  };
  let client;
  try {
    client = JSON.parse(new TextDecoder().decode(response.clientDataJSON));
  } catch {
    failed("client data");
  }
  if (client.type !== type) failed("type");
  if (client.challenge !== base64url(challenge)) failed("challenge");
  if (client.origin !== location.origin || client.crossOrigin === true) failed("origin");
  const hash = await sha256(utf8(rpId));
  if (data.length < 37 || hash.some((byte, at) => byte !== data[at])) failed("RP ID");
  if ((data[32] & USER_PRESENT) === 0 || (data[32] & USER_VERIFIED) === 0) failed("not verified");
}

/**
 * Make a passkey on this device.
 *
 * @param {string} label what the device calls it
 * @returns {Promise<{row: object, secret: Uint8Array|null}>} what to keep, and the PRF secret where
 *   the device has one
 */
export async function enrol(label) {
  if (!(await offered())) throw new WalletError("check_unavailable");
  const challenge = random(32);
  const salt = random(32);
  const rpId = location.hostname;
  const made = await asked(() =>
    navigator.credentials.create({
      publicKey: {
        challenge,
        rp: { id: rpId, name: label },
        user: { id: random(16), name: label, displayName: label },
        pubKeyCredParams: [ES256, RS256].map((alg) => ({ type: "public-key", alg })),
        authenticatorSelection: {
          authenticatorAttachment: "platform",
          residentKey: "preferred",
          userVerification: "required",
        },
        attestation: "none",
        timeout: TIMEOUT_MS,
        extensions: { prf: { eval: { first: salt } } },
      },
    }),
  );
  const data = new Uint8Array(made.response.getAuthenticatorData());
  await checkData(made.response, data, "webauthn.create", challenge, rpId);
  const row = {
    id: new Uint8Array(made.rawId),
    rpId,
    salt,
    algorithm: made.response.getPublicKeyAlgorithm(),
    publicKey: new Uint8Array(made.response.getPublicKey() ?? []),
  };
  if (!(row.algorithm in IMPORT)) throw new WalletError("check_failed", { what: "algorithm" });
  const { prf } = made.getClientExtensionResults();
  if (prf?.enabled !== true) return { row, secret: null };
  return { row, secret: prf.results?.first ? new Uint8Array(prf.results.first) : await check(row) };
}

/** Have the device check its owner; returns the PRF secret, or null where it has none. */
export async function check(row) {
  const challenge = random(32);
  const answer = await asked(() =>
    navigator.credentials.get({
      publicKey: {
        challenge,
        rpId: row.rpId,
        allowCredentials: [{ type: "public-key", id: row.id, transports: ["internal"] }],
        userVerification: "required",
        timeout: TIMEOUT_MS,
        extensions: { prf: { eval: { first: row.salt } } },
      },
    }),
  );
  const data = new Uint8Array(answer.response.authenticatorData);
  await checkData(answer.response, data, "webauthn.get", challenge, row.rpId);
  await checkSignature(answer.response, data, row);
  const first = answer.getClientExtensionResults().prf?.results?.first;
  return first ? new Uint8Array(first) : null;
}

async function checkSignature(response, data, row) {
  const key = await crypto.subtle.importKey("spki", row.publicKey, IMPORT[row.algorithm], false, ["verify"]);
  const hash = await sha256(response.clientDataJSON);
  const signed = new Uint8Array([...data, ...hash]);
  const given = new Uint8Array(response.signature);
  const signature = row.algorithm === ES256 ? flat(given) : given;
  if (!(await crypto.subtle.verify(VERIFY[row.algorithm], key, signature, signed))) {
    throw new WalletError("check_failed", { what: "signature" });
  }
}

/** Return r || s of a DER signature of P-256: SEQUENCE of two INTEGERs, each below 128 bytes. */
function flat(der) {
  const out = new Uint8Array(64);
  let at = 2;
  for (const end of [32, 64]) {
    const number = der.slice(at + 2, at + 2 + der[at + 1]);
    at += 2 + number.length;
    const digits = number.slice(Math.max(0, number.length - 32));
    out.set(digits, end - digits.length);
  }
  return out;
}
