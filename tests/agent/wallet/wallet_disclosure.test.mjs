// Run by test_wallet_disclosure.py, which made the cards and reads the codes.
import assert from "node:assert/strict";
import test from "node:test";

import { decode, hex, unhex } from "../../../agent/wallet/codec.js";
import * as cose from "../../../agent/wallet/cose.js";
import { chosen, listed, restored } from "../../../agent/wallet/disclosure.js";
import { given, made } from "./given.mjs";

const curve = { name: "ECDSA", namedCurve: "P-256" };
const privateKey = await crypto.subtle.importKey("jwk", given.privateKey, curve, false, ["sign"]);

test("it is told what stands in a card of version 2", async () => {
  for (const [name, [card, said]] of Object.entries(given.cards)) {
    assert.deepEqual(await cose.describe(unhex(card)), said, name);
  }
});

test("a point is found again by the sign of its y", async () => {
  for (const [card, jwk] of given.points) {
    assert.deepEqual((await cose.describe(unhex(card))).holderKey, jwk);
  }
});

test("refused, as at the gate", async () => {
  for (const [name, data] of Object.entries(given.bent)) {
    await assert.rejects(cose.describe(unhex(data)), (error) => {
      assert.ok(["malformed", "bad_credential"].includes(error.code), `${name}: ${error}`);
      return true;
    }, name);
  }
});

test("a place is shown what it asks for, as the issuing code does it", async () => {
  for (const [words, needs, shown] of given.choices) {
    assert.deepEqual([...chosen(words, needs)].sort(), shown, `${words} for ${needs}`);
  }
  for (const [card, needs, left] of given.disclosed) {
    assert.equal(hex(await cose.disclosed(unhex(card), needs)), left, `${needs}`);
  }
});

test("every mutant is read, or refused, as the gate does", async () => {
  for (const [payload, held, reading] of given.mutants) {
    let found = null;
    try {
      const claims = decode(unhex(payload), { redacted: true });
      if (claims instanceof Map) {
        const { digests, parts } = restored(claims, await listed(held.map(unhex)));
        found = [digests, digests - parts.size];
      }
    } catch (error) {
      assert.ok(["malformed", "bad_credential"].includes(error.code), String(error.stack));
    }
    assert.deepEqual(found, reading, `${payload} ${held}`);
  }
});

test("tickets", async () => {
  for (const [name, [ticket, identity, fits]] of Object.entries(given.tickets)) {
    const pair = [await cose.describe(unhex(ticket)), await cose.describe(unhex(identity))];
    assert.equal(cose.fits(...pair), fits, name);
  }
  const [one, other] = await Promise.all(given.rekeyed.map((card) => cose.describe(unhex(card))));
  assert.equal(cose.fits(one, other), false, "of two keys");
  const delivered = (said, source) => ({ ...said, source });
  assert.equal(cose.fits(delivered(one, "https://a"), delivered(other, "https://a")), true);
  assert.equal(cose.fits(delivered(one, "https://a"), delivered(other, "https://b")), false);
});

test("codes for the gate", async () => {
  const codes = {};
  for (const [name, [card, needs, ticket]] of Object.entries(given.shown)) {
    codes[name] = await cose.present(unhex(card), privateKey, {
      aud: "mall/g1", iat: given.now, needs, ticket: ticket && unhex(ticket),
    });
  }
  made({ codes, static: cose.presentStatic(unhex(given.static)) });
});
