/*
 * The one error of the wallet.
 *
 * Exports: `WalletError`, `CODES`.
 *
 * Rules:
 * - a module that fails throws a `WalletError` with one code of the closed set below, and nothing
 *   else; the interface has one sentence a code in every language, and shows no other text;
 * - `detail` is for the person who seeks the fault (a host, an error name of OpenID4VCI, a number):
 *   never a credential, a key, a code or a name; `detail.description` is the issuer's own words,
 *   to be shown as a quotation, as plain text;
 * - `detail.retry` says whether the same may work a moment later.
 */

const LINES = `
malformed              what was read is no code, link or credential of ours
not_ours               a link or code that means nothing to this wallet
unknown_issuer         the issuer is not one that this wallet takes cards from (detail.host)
insecure               the address is not https
offline                no answer: no network, or the desk is not reachable
timeout                the desk took too long
desk_fault             the desk has a fault of its own; later it may work
bad_answer             the desk answered something that the specification does not allow
issuer_mismatch        the metadata belong to another issuer than the offer
unsupported            the offer holds no card, or no way of fetching it, that this wallet knows
offer_gone             no such offer: it was used, killed, or never made
offer_used             the offer was used already
offer_expired          the offer waited too long
code_needed            the transaction code is missing (detail.length)
code_wrong             the transaction code is wrong; the offer is still good
offer_locked           too many wrong transaction codes; the offer is dead
session_expired        the access token is no longer good: take a new offer
nonce_refused          the issuer refused fresh nonces more than once
proof_refused          the issuer refused the proof of possession
denied                 the issuer refused to give the card
later                  the issuer will give the card later, which this wallet does not wait for
key_missing            the offer is bound to a key that this wallet does not hold
bad_credential         the card that came is not for this wallet's keys, or not what was offered
refresh_refused        the card cannot be renewed over the air: ask at the desk
rate_limited           too many requests; wait (detail.seconds)
invitation_gone        the invitation was used up, has expired, or was never made
form_refused           the desk refused a field (detail.field)
picture_refused        the desk could not use the pictures
locked                 the wallet is locked
not_set_up             no lock was set up yet
already_set_up         a lock was set up before
check_refused          the device's check was refused, cancelled or timed out
check_unavailable      this device or address has no check of its own
check_failed           the device's answer does not verify
pin_weak               the PIN is too short or too easy
pin_wrong              the PIN is wrong (detail.left, detail.wait_s)
pin_wait               another try only after a while (detail.wait_s)
wiped                  too many wrong PINs: everything was deleted
storage                the browser keeps nothing (private window, no room, damaged)
no_such_card           the card is no longer here
place_refused          the place's code names no single place
`;

/** Code -> what it means, for those who write the sentences. */
export const CODES = Object.freeze(
  Object.fromEntries(
    LINES.trim().split("\n").map((line) => [line.split(" ", 1)[0], line.replace(/^\S+\s+/, "")]),
  ),
);

/** What went wrong: `code` of `CODES`, `detail` a small object. */
export class WalletError extends Error {
  constructor(code, detail = {}, cause = undefined) {
    if (!Object.hasOwn(CODES, code)) throw new TypeError(`no such code: ${code}`);
    super(code, cause === undefined ? undefined : { cause });
    this.name = "WalletError";
    this.code = code;
    this.detail = Object.freeze({ ...detail });
  }
}
