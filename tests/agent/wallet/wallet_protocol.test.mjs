// Run by test_wallet_protocol.py: an issuer that breaks one rule at a time, over real HTTP.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import test, { after, before } from "node:test";

import { Tagged, base64url, encode, unbase64url, utf8 } from "../../../agent/wallet/codec.js";
import { makeKey, publicJwk, thumbprint } from "../../../agent/wallet/cose.js";
import * as invitation from "../../../agent/wallet/invitation.js";
import * as protocol from "../../../agent/wallet/protocol.js";

const NOW = 1_800_000_000;
const CONFIGURATION = "library-card";
let server, issuer, answers, asked;

before(async () => {
  server = createServer((request, response) => {
    let body = "";
    request.on("data", (part) => (body += part));
    request.on("end", () => {
      const [path] = request.url.split("?");
      asked.push({ path, body, headers: request.headers });
      const answer = answers[path] ?? { status: 404, json: { error: "not_found" } };
      const { status = 200, json, text, headers = {} } =
        typeof answer === "function" ? answer(body, request) : answer;
      response.writeHead(status, { "Content-Type": "application/json", ...headers });
      response.end(text ?? (json === undefined ? "" : JSON.stringify(json)));
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  issuer = `http://localhost:${server.address().port}`;
});
after(() => server.close());

const holder = async () => {
  const pair = await makeKey();
  const jwk = await publicJwk(pair.publicKey);
  return { jwk, privateKey: pair.privateKey, thumbprint: await thumbprint(jwk) };
};

/** A card of the form that a gate takes; nobody here can check who signed. */
function card({ x, y }, changes = {}) {
  const key = new Map([[1, 2], [-1, 1], [-2, unbase64url(x)], [-3, unbase64url(y)]]);
  const claims = { 1: "urn:x", 2: "42", 4: NOW + 86_400, 6: NOW - 5, 7: utf8("c"), 11: `urn:idgate:vct:${CONFIGURATION}` };
  const all = new Map(Object.entries({ ...claims, ...changes }).map(([name, value]) => [Number(name), value]));
  all.set(8, new Map([[1, key]]));
  const header = encode(new Map([[1, -7], [4, utf8("kid")]]));
  return base64url(encode(new Tagged(18, [header, new Map(), encode(all), utf8("signature")])));
}

/** What a good issuer answers. */
function good() {
  const base = {
    "/.well-known/openid-credential-issuer": { json: {
      credential_issuer: issuer,
      credential_endpoint: `${issuer}/credential`,
      nonce_endpoint: `${issuer}/nonce`,
      notification_endpoint: `${issuer}/notification`,
      batch_credential_issuance: { batch_size: 5 },
      display: [{ name: "Town", locale: "en", logo: { uri: "https://tracker.test/x.png" } }],
      credential_configurations_supported: {
        [CONFIGURATION]: { format: "sd-cwt", vct: `urn:idgate:vct:${CONFIGURATION}`,
          display: [{ name: "Card", background_color: "#0b5d4e", text_color: "url(//evil.test)" }] },
        other: { format: "mso_mdoc", doctype: "x" },
      },
    } },
    "/.well-known/oauth-authorization-server": { json: { issuer, token_endpoint: `${issuer}/token` } },
    "/offers/1": { json: {
      credential_issuer: issuer,
      credential_configuration_ids: ["other", CONFIGURATION],
      grants: { "urn:ietf:params:oauth:grant-type:pre-authorized_code": { "pre-authorized_code": "secret" } },
    } },
    "/token": { json: { access_token: "t", token_type: "bearer", expires_in: 300, refresh_token: "r" } },
    "/nonce": { json: { c_nonce: "n" } },
    "/notification": { status: 204 },
  };
  base["/credential"] = (body) => ({ json: {
    credentials: JSON.parse(body).proofs.jwt.map((jwt) => ({
      credential: card(JSON.parse(Buffer.from(jwt.split(".")[0], "base64url")).jwk),
    })),
    notification_id: "i",
  } });
  return base;
}

const set = (path, change) => (all) => {
  const old = all[path];
  all[path] = typeof change === "function" && typeof old !== "function" ? { json: change(structuredClone(old.json)) } : change;
};
const meta = (change) => set("/.well-known/openid-credential-issuer", (json) => ({ ...json, ...change(json) }));
const grant = (change) => set("/offers/1", (json) => ({ ...json, ...change }));

const read = () =>
  protocol.readOffer(`openid-credential-offer://?credential_offer_uri=${encodeURIComponent(`${issuer}/offers/1`)}`, {
    issuers: [issuer],
  });

async function all(holders) {
  const offer = await read();
  const token = await protocol.redeem(offer, "12 34-56");
  const wanted = { configuration: CONFIGURATION, holders: holders ?? [await holder(), await holder()], now: NOW };
  const { credentials, notification } = await protocol.request(offer.metadata, token, wanted);
  await protocol.notify(offer.metadata, token.access, notification, "credential_accepted");
  return { offer, credentials };
}

test("a good issuer gives a card a key; proofs are as the specification has them", async () => {
  [answers, asked] = [good(), []];
  const holders = [await holder(), await holder()];
  const { offer, credentials } = await all(holders);
  assert.deepEqual(credentials.map((one) => one.holder.thumbprint), holders.map((one) => one.thumbprint));
  assert.deepEqual(offer.cards.map((one) => one.configuration), [CONFIGURATION]);
  assert.deepEqual(offer.cards[0].display, [{ locale: null, name: "Card", background: "#0b5d4e", text: null }]);
  assert.deepEqual(offer.metadata.display, [{ locale: "en", name: "Town", background: null, text: null }]);
  const at = Object.fromEntries(asked.map((one) => [one.path, one]));
  assert.equal(new URLSearchParams(at["/token"].body).get("tx_code"), null);
  assert.equal(at["/credential"].headers.authorization, "Bearer t");
  assert.ok(asked.every((one) => one.headers.cookie === undefined && one.headers.referer === undefined));
  const { proofs, credential_configuration_id: id } = JSON.parse(at["/credential"].body);
  assert.equal(id, CONFIGURATION);
  const [header, claims] = proofs.jwt[0].split(".").slice(0, 2).map((part) => JSON.parse(Buffer.from(part, "base64url")));
  assert.deepEqual(header, { typ: "openid4vci-proof+jwt", alg: "ES256", jwk: holders[0].jwk });
  assert.deepEqual(claims, { aud: issuer, iat: NOW, nonce: "n" });
  assert.deepEqual(JSON.parse(at["/notification"].body), { notification_id: "i", event: "credential_accepted" });
});

test("metadata stand between host and path", async () => {
  [answers, asked] = [{}, []];
  await assert.rejects(protocol.metadataOf(`${issuer}/tenant/a`, [`${issuer}/tenant/a`]), { code: "bad_answer" });
  assert.equal(asked[0].path, "/.well-known/openid-credential-issuer/tenant/a");
});

test("a nonce that was refused is asked for anew, once; an overloaded desk is asked again", async () => {
  [answers, asked] = [good(), []];
  const fine = answers["/credential"];
  let refusals = 1;
  answers["/credential"] = (body) => refusals-- > 0 ? { status: 400, json: { error: "invalid_nonce" } } : fine(body);
  let faults = 2;
  answers["/nonce"] = () => faults-- > 0 ? { status: 503 } : { json: { c_nonce: "n" } };
  assert.equal((await all()).credentials.length, 2);
  assert.equal(asked.filter((one) => one.path === "/nonce").length, 4);
});

test("an identifier of the token's answer takes the configuration's place", async () => {
  [answers, asked] = [good(), []];
  answers["/token"].json.authorization_details = [{ credential_identifiers: ["one"] }];
  await all();
  const { credential_identifier: id, credential_configuration_id: none } = JSON.parse(
    asked.find((one) => one.path === "/credential").body,
  );
  assert.deepEqual([id, none], ["one", undefined]);
});

const refusal = (path, status, error, more = {}) => (all_) => {
  all_[path] = { status, json: { error, ...more } };
};
const rebound = (change) => (all_) => {
  all_["/credential"] = (body) => {
    const jwks = JSON.parse(body).proofs.jwt.map((jwt) => JSON.parse(Buffer.from(jwt.split(".")[0], "base64url")).jwk);
    return { json: { credentials: change(jwks).map((credential) => ({ credential })), notification_id: "i" } };
  };
};
const stranger = (await holder()).jwk;

const CASES = [
  ["an offer that is gone", "offer_gone", refusal("/offers/1", 404, "not_found")],
  ["an offer that was used", "offer_used", refusal("/offers/1", 410, "invalid_offer", { idgate_reason: "used" })],
  ["an offer of an unknown issuer", "unknown_issuer", grant({ credential_issuer: "https://evil.test" })],
  ["an offer whose issuer has a slash more", "unknown_issuer", (a) => grant({ credential_issuer: `${issuer}/` })(a)],
  ["an offer without issuer", "bad_answer", grant({ credential_issuer: undefined })],
  ["an offer by authorization code", "unsupported", grant({ grants: { authorization_code: {} } })],
  ["an offer of formats that are unknown", "unsupported", grant({ credential_configuration_ids: ["other"] })],
  ["an offer for no key at all", "bad_answer", grant({ idgate: { holder: "../../x" } })],
  ["an offer that is a list", "bad_answer", set("/offers/1", () => [])],
  ["an offer that is no JSON", "bad_answer", set("/offers/1", { text: "<html>" })],
  ["an offer of 300 KiB", "bad_answer", set("/offers/1", { text: " ".repeat(300 * 1024) })],
  ["a redirect elsewhere", "bad_answer", set("/offers/1", { status: 302, headers: { Location: "https://evil.test/" } })],
  ["metadata of another issuer", "issuer_mismatch", meta(() => ({ credential_issuer: "https://evil.test" }))],
  ["a credential endpoint elsewhere", "issuer_mismatch", meta(() => ({ credential_endpoint: "https://evil.test/c" }))],
  ["a nonce endpoint without TLS", "insecure", meta(() => ({ nonce_endpoint: "http://evil.test/n" }))],
  ["an authorization server elsewhere", "issuer_mismatch", meta(() => ({ authorization_servers: ["https://evil.test"] }))],
  ["a token endpoint elsewhere", "issuer_mismatch",
    (a) => set("/.well-known/oauth-authorization-server", { json: { issuer, token_endpoint: "https://evil.test/t" } })(a)],
  ["a token that is no bearer's", "bad_answer", set("/token", (json) => ({ ...json, token_type: "DPoP" }))],
  ["a code that is unknown", "offer_gone", refusal("/token", 400, "invalid_grant")],
  ["a code that was locked", "offer_locked", refusal("/token", 400, "invalid_grant", { idgate_reason: "locked" })],
  ["a client that is wanted", "unsupported", refusal("/token", 401, "invalid_client")],
  ["a desk that is busy", "rate_limited", (a) => (a["/token"] = { status: 429, headers: { "Retry-After": "7" } })],
  ["a desk with a fault", "desk_fault", (a) => (a["/token"] = { status: 500 })],
  ["a token that is over", "session_expired", refusal("/credential", 401, "invalid_token")],
  ["a nonce refused twice", "nonce_refused", refusal("/credential", 400, "invalid_nonce")],
  ["a proof refused", "proof_refused", refusal("/credential", 400, "invalid_proof")],
  ["a configuration that is gone", "unsupported", refusal("/credential", 400, "unknown_credential_configuration")],
  ["encryption that is wanted", "unsupported", refusal("/credential", 400, "invalid_encryption_parameters")],
  ["a refusal", "denied", refusal("/credential", 400, "credential_request_denied")],
  ["a refusal by an unknown word", "bad_answer", refusal("/credential", 400, "__proto__")],
  ["a card later", "later", (a) => (a["/credential"] = { status: 202, json: { transaction_id: "x", interval: 5 } })],
  ["no card", "bad_credential", rebound(() => [])],
  ["more cards than keys", "bad_credential", rebound(([a, b]) => [card(a), card(b), card(b)])],
  ["two cards for one key", "bad_credential", rebound(([a]) => [card(a), card(a)])],
  ["a card for another key", "bad_credential", rebound(() => [card(stranger)])],
  ["a card of another kind", "bad_credential", rebound(([a]) => [card(a, { 11: "urn:idgate:vct:passport" })])],
  ["a card that is over", "bad_credential", rebound(([a]) => [card(a, { 4: NOW })])],
  ["a card with padding", "bad_credential", rebound(([a]) => [`${card(a)}=`])],
  ["a card that is none", "bad_credential", rebound(() => ["AAAA"])],
  ["a card that is an object", "bad_credential", rebound(() => [{}])],
  ["a notification that is unknown", "bad_answer", refusal("/notification", 400, "invalid_notification_id")],
];

for (const [name, code, bend] of CASES) {
  test(`${name}: ${code}`, async () => {
    [answers, asked] = [good(), []];
    bend(answers);
    await assert.rejects(all(), (error) => {
      assert.equal(`${error.name} ${error.code}`, `WalletError ${code}`, String(error.stack));
      return true;
    });
    assert.ok(asked.length < 14, "asked in bounded number");
  });
}

const TX = { tx_code: { input_mode: "numeric", length: 6 } };
const wanted = (all_) => {
  const { grants } = all_["/offers/1"].json;
  Object.assign(Object.values(grants)[0], TX);
};

test("a transaction code goes as digits; both of the standard's words for a wrong one are known", async () => {
  [answers, asked] = [good(), []];
  wanted(answers);
  await all();
  assert.equal(new URLSearchParams(asked.find((one) => one.path === "/token").body).get("tx_code"), "123456");
  for (const error of ["invalid_grant", "invalid_tx_code"]) {
    answers["/token"] = { status: 400, json: { error, error_description: "no" } };
    await assert.rejects(all(), { code: "code_wrong", detail: { status: 400, error, description: "no" } });
  }
  await assert.rejects(protocol.redeem(await read()), { code: "code_needed", detail: { length: 6 } });
});

const FORM = {
  place: { name: "Town" }, kind: CONFIGURATION, fields: [{ name: "name", required: true }], face: "optional",
  turns: ["front", "left"], turns_token: "t", consent: { version: "1", text: { en: "Yes?" } },
};

test("an invitation is read and answered; what it gives is an offer", async () => {
  [answers, asked] = [good(), []];
  answers["/invitations/1"] = (_, { method }) => ({
    json: method === "POST" ? { credential_offer_uri: `${issuer}/offers/1` } : FORM,
  });
  const link = `https://wallet.test/#invitation=${encodeURIComponent(`${issuer}/invitations/1`)}`;
  const found = await invitation.readInvitation(link, { issuers: [issuer] });
  assert.deepEqual([found.kind, found.turns, found.consent.version], [CONFIGURATION, ["front", "left"], "1"]);
  const form = { name: "Ada", language: "es", consent: { given: true, biometric: true }, pictures: [utf8("one"), utf8("two")] };
  const offer = await invitation.answer(found, form, { issuers: [issuer] });
  assert.equal(offer.transactionCode, null);
  assert.deepEqual(JSON.parse(asked.findLast((one) => one.path === "/invitations/1").body), {
    name: "Ada", language: "es", consent: { version: "1", given: true, biometric: true },
    pictures: [btoa("one"), btoa("two")], turns_token: "t",
  });
  const before_ = asked.length;
  for (const [change, code] of [
    [{ consent: { given: false } }, "form_refused"],
    [{ consent: { given: true, biometric: false } }, "form_refused"],
    [{ pictures: [new Uint8Array(601 * 1024)] }, "picture_refused"],
  ]) {
    await assert.rejects(invitation.answer(found, { ...form, ...change }), { code });
  }
  assert.equal(asked.length, before_, "nothing leaves the page without consent");
});

test("an invitation that is not as agreed is refused", async () => {
  const text = () => `${issuer}/invitations/1`;
  const asking = () => invitation.readInvitation(text(), { issuers: [issuer] });
  for (const [answer, code] of [
    [{ status: 404 }, "invitation_gone"],
    [{ status: 410, json: { error: "invalid_invitation" } }, "invitation_gone"],
    [{ json: { ...FORM, fields: [{ name: "passport" }] } }, "bad_answer"],
    [{ json: { ...FORM, turns: ["front", "front", "front", "front", "front"] } }, "bad_answer"],
    [{ json: { ...FORM, face: "always" } }, "bad_answer"],
    [{ json: null }, "bad_answer"],
    [{ json: [] }, "bad_answer"],
  ]) {
    [answers, asked] = [{ "/invitations/1": answer }, []];
    await assert.rejects(asking(), { code }, JSON.stringify(answer));
  }
  await assert.rejects(invitation.readInvitation("https://evil.test/invitations/1", { issuers: [issuer] }), {
    code: "unknown_issuer",
  });
});
