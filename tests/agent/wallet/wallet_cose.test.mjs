// Run by test_wallet_cose.py, which made the cards and reads the codes.
import assert from "node:assert/strict";
import test from "node:test";

import { hex, unbase45, unhex } from "../../../agent/wallet/codec.js";
import * as cose from "../../../agent/wallet/cose.js";
import { given, made } from "./given.mjs";

const curve = { name: "ECDSA", namedCurve: "P-256" };
const { d: _, ...publicPart } = given.privateKey;
const privateKey = await crypto.subtle.importKey("jwk", given.privateKey, curve, false, ["sign"]);
const publicKey = await crypto.subtle.importKey("jwk", publicPart, curve, true, ["verify"]);
const [plain] = given.cards.plain.map((item, at) => (at === 0 ? unhex(item) : item));

test("keys are named and written as the issuer does", async () => {
  assert.equal(await cose.thumbprint(await cose.publicJwk(publicKey)), given.thumbprint);
  assert.equal(hex(await cose.coseKey(publicKey)), given.coseKey);
  const pair = await cose.makeKey();
  assert.equal(pair.privateKey.extractable, false);
  await assert.rejects(crypto.subtle.exportKey("jwk", pair.privateKey));
});

for (const [name, [card, said]] of Object.entries(given.cards)) {
  test(`it is told what stands in: ${name}`, async () => {
    assert.deepEqual(await cose.describe(unhex(card)), said);
  });
}

for (const [name, data] of Object.entries(given.bent)) {
  test(`refused: ${name}`, async () => {
    await assert.rejects(cose.describe(unhex(data)), (error) => {
      assert.ok(["malformed", "bad_credential"].includes(error.code), String(error));
      return true;
    });
  });
}

for (const [name, [ticket, fits]] of Object.entries(given.tickets)) {
  test(`whether it stands beside the card: ${name}`, async () => {
    const identity = await cose.describe(plain);
    assert.equal(cose.fits(await cose.describe(unhex(ticket)), identity), fits);
  });
}

test("what no code can hold is told", async () => {
  const options = { aud: "station", iat: given.now };
  const card = unhex(given.tooLarge);
  await assert.rejects(cose.present(card, privateKey, options), { code: "bad_credential" });
  assert.throws(() => cose.presentStatic(card), { code: "bad_credential" });
});

test("codes are made for the gate to read", async () => {
  const options = { aud: "station/g1", iat: given.now };
  const codes = {};
  for (const [name, [card]] of Object.entries(given.cards)) {
    codes[name] = await cose.present(unhex(card), privateKey, options);
  }
  const ticketed = {};
  for (const [name, [ticket]] of Object.entries(given.tickets)) {
    ticketed[name] = await cose.present(plain, privateKey, { ...options, ticket: unhex(ticket) });
  }
  const all = { ...options, cnonce: unhex(given.nonce), ticket: unhex(given.tickets["by key"][0]) };
  const fixed = cose.presentStatic(unhex(given.cards["static only"][0]));
  assert.match(codes.full, /^NI1:[0-9A-Z $%*+\-./:]+$/);
  assert.equal(hex(unbase45(fixed.slice(4))), given.cards["static only"][0]);
  made({
    codes,
    ticketed,
    static: fixed,
    carried: given.cards.plain[0],
    "carried static": given.cards["static only"][0],
    "with all": await cose.present(plain, privateKey, all),
  });
});
