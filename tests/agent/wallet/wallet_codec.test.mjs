// Run by test_wallet_codec.py, which made the cases with the gate's own reader.
import assert from "node:assert/strict";
import test from "node:test";

import * as codec from "../../../agent/wallet/codec.js";
import { given, made } from "./given.mjs";

const malformed = { name: "WalletError", code: "malformed" };

test("every case of CBOR is read, and written again, as the gate does", () => {
  let seen = 0;
  for (const [data, reading] of given.cbor) {
    const read = () => codec.decode(codec.unhex(data), { tags: [18, 61] });
    if (reading === null) assert.throws(read, malformed, data);
    else assert.equal(codec.hex(codec.encode(read())), reading, data);
    seen += 1;
  }
  made({ cbor: seen });
});

test("what is no CBOR value is this program's mistake", () => {
  for (const value of [1.5, Number.NaN, undefined, {}, 2 ** 53, new Date()]) {
    assert.throws(() => codec.encode(value), TypeError);
  }
  assert.throws(() => codec.encode(1n << 64n), TypeError);
});

for (const [name, to, from] of [
  ["base45", codec.base45, codec.unbase45],
  ["base64url", codec.base64url, codec.unbase64url],
]) {
  test(`${name} goes both ways`, () => {
    assert.ok(given[name].length > 50);
    for (const [data, text] of given[name]) {
      assert.equal(to(codec.unhex(data)), text);
      assert.equal(codec.hex(from(text)), data);
    }
  });
}

test("texts that stand for nothing are refused", () => {
  for (const text of given["not base45"]) assert.throws(() => codec.unbase45(text), malformed, text);
  for (const text of ["A", "AB=", "A+", "a/", "AB", "ABC\n", "é", 7, null]) {
    assert.throws(() => codec.unbase64url(text), malformed, String(text));
  }
  for (const text of ["0", "0g", " 0"]) assert.throws(() => codec.unhex(text), malformed, text);
});
