// An issuer and a wallet for idgate in Node.js 18 or newer, without any package: every algorithm,
// a face template, a status list, compression, encryption, a challenge, a ticket, and claims that
// the wallet may keep back. Version 2 of docs/native-profile.md, written from that page alone; the
// names in comments are that page's.
//
//     node issuer.mjs DIR
//
// writes DIR/trust (what a gate believes), DIR/site.key and DIR/codes.json (name and text of codes
// for the gate `pool/door` that shows the challenge 0011223344556677).
import { createCipheriv, createHash, createPublicKey, constants, generateKeyPairSync, randomBytes, sign }
  from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { deflateSync } from "node:zlib";

// --- CBOR: shortest heads, definite lengths; maps are `Map`s, since their keys are numbers
class Tag { constructor(number, value) { Object.assign(this, { number, value }); } }
const REDACTED = Symbol("simple(59)"); // the key under which a map lists digests
function head(major, value) {
  const big = Buffer.alloc(9);
  big.writeBigUInt64BE(BigInt(value), 1);
  const [bytes, info] = value < 24 ? [0, value] : value < 256 ? [1, 24]
    : value < 65536 ? [2, 25] : value < 2 ** 32 ? [4, 26] : [8, 27];
  return Buffer.concat([Buffer.from([(major << 5) | info]), big.subarray(9 - bytes)]);
}
function cbor(item) {
  if (Number.isInteger(item)) return item < 0 ? head(1, -1 - item) : head(0, item);
  if (Buffer.isBuffer(item)) return Buffer.concat([head(2, item.length), item]);
  if (typeof item === "string") return Buffer.concat([head(3, Buffer.byteLength(item)), Buffer.from(item)]);
  if (Array.isArray(item)) return Buffer.concat([head(4, item.length), ...item.map(cbor)]);
  if (item instanceof Map) return Buffer.concat([head(5, item.size), ...[...item].flat().map(cbor)]);
  if (item instanceof Tag) return Buffer.concat([head(6, item.number), cbor(item.value)]);
  if (item === REDACTED) return Buffer.from([0xf8, 59]);
  if (typeof item === "boolean") return Buffer.from([item ? 0xf5 : 0xf4]);
  throw new TypeError(`no CBOR for ${String(item)}`); // floats and null have no place in a credential
}

// --- base45 (RFC 9285)
const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";
function base45(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 2) {
    const pair = at + 1 < bytes.length;
    let value = pair ? bytes.readUInt16BE(at) : bytes[at];
    for (let digit = 0; digit < (pair ? 3 : 2); digit++, value = Math.floor(value / 45))
      text += ALPHABET[value % 45];
  }
  return text;
}

// --- keys: their COSE number, how they sign, their kid, and their COSE_Key for `cnf`
const MAKES = {
  ES256: { alg: -7, make: ["ec", { namedCurve: "P-256" }], hash: "sha256" },
  ES384: { alg: -35, make: ["ec", { namedCurve: "P-384" }], hash: "sha384" },
  EdDSA: { alg: -8, make: ["ed25519", {}], hash: null },
  PS256: { alg: -37, make: ["rsa", { modulusLength: 2048 }], hash: "sha256",
    how: { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 } },
};
function newKey(name) {
  const { alg, make, hash, how } = MAKES[name];
  const { privateKey } = generateKeyPairSync(...make); // a real issuer's stays in its hardware
  const publicKey = createPublicKey(privateKey);
  const spki = publicKey.export({ format: "der", type: "spki" });
  return {
    name, alg, pem: publicKey.export({ format: "pem", type: "spki" }),
    kid: createHash("sha256").update(spki).digest().subarray(0, 8),
    // ieee-p1363 is r || s; the default would be DER, which every gate refuses
    sign: (data) => sign(hash, data, { key: privateKey, dsaEncoding: "ieee-p1363", ...how }),
    cose() {
      const { kty, crv, x, y } = publicKey.export({ format: "jwk" });
      const bytes = (text) => Buffer.from(text, "base64url");
      if (kty === "OKP") return new Map([[1, 1], [-1, 6], [-2, bytes(x)]]);
      const odd = (bytes(y).at(-1) & 1) === 1; // the sign of y is enough
      return new Map([[1, 2], [-1, { "P-256": 1, "P-384": 2 }[crv]], [-2, bytes(x)], [-3, odd]]);
    },
  };
}

// --- COSE_Sign1, and COSE_Encrypt0 for sites that share a key with the wallet
function sign1(key, header, claims, unprotected = []) {
  const raw = cbor(new Map([[1, key.alg], ...header])), payload = cbor(new Map(claims));
  const signature = key.sign(cbor(["Signature1", raw, Buffer.alloc(0), payload]));
  return new Tag(18, [raw, new Map(unprotected), payload, signature]);
}
function encrypt0(siteKey, message) {
  const raw = cbor(new Map([[1, 3]])), iv = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", siteKey, iv);
  cipher.setAAD(cbor(["Encrypt0", raw, Buffer.alloc(0)]));
  const sealed = Buffer.concat([cipher.update(message), cipher.final(), cipher.getAuthTag()]);
  return cbor(new Tag(16, [raw, new Map([[5, iv]]), sealed]));
}
const smaller = (bytes) => { const packed = deflateSync(bytes); return packed.length < bytes.length ? packed : bytes; };
const code = (bytes) => "NI2:" + base45(bytes);

// --- selective disclosure: members of a map by their digests, and what the wallet may tell of them
function redact(members) {
  const disclosures = members.map(([key, value]) => cbor([randomBytes(16), value, key]));
  const digests = disclosures.map((each) => createHash("sha256").update(cbor(each)).digest());
  return { disclosures, digests: digests.sort(Buffer.compare) }; // sorted, they say nothing
}

// --- what the issuer does once, and the wallet every few seconds
const now = Math.floor(Date.now() / 1000), DAY = 86400, STATUS = "https://abroad.example/status/1";
const ONLINE_ID = 1, RAIL_TICKET = 8, FACE_EMBED_V1 = 1;
const short = (issuer) => [4, issuer.kid.subarray(0, 4)]; // is enough in a credential, not in a status list
const common = (phone, sub, vct) =>
  [[2, sub], [4, now + DAY], [6, now - DAY], [8, new Map([[1, phone.cose()]])], [11, vct]];
const person = () => [ // a template is made with `idgate face enroll`; this one is noise
  [4, "Ada Demo"], [8, "19870623"],
  [62, [new Map([[0, randomBytes(128)], [1, 1], [2, 100], [3, FACE_EMBED_V1]])]],
];
const identity = (issuer, phone, index, members, header = [], disclosures = []) => sign1(
  issuer, [short(issuer), ...header], [
    ...common(phone, Buffer.from("8f14e45fceea167a", "hex"), ONLINE_ID),
    [-65537, 2], [-65538, ["DE-BE", "FR"]], [169, new Map(members)],
    [65535, new Map([["status_list", new Map([["idx", index], ["uri", STATUS + issuer.name]])]])],
  ], disclosures.length ? [[17, disclosures]] : [],
);
const credential = (issuer, phone, index) => identity(issuer, phone, index, person());
function redacted(issuer, phone, index) { // the wallet keeps the name back and tells the rest
  const { disclosures, digests } = redact(person());
  return identity(issuer, phone, index, [[REDACTED, digests]], [[16, 293], [170, -16]], disclosures.slice(1));
}
const ticket = (issuer, phone) => cbor(sign1(issuer, [short(issuer)], [
  ...common(phone, "passenger-1", RAIL_TICKET), [7, randomBytes(8)], // a ticket is known by its cti
  [-65540, new Map([["seat", "7A"], ["car", 7]])],
]));
const present = (phone, held, more = []) => cbor(sign1(phone, [[13, held], [16, 294]],
  [[3, "pool/door"], [6, now], [39, Buffer.from("0011223344556677", "hex")], ...more]));
const statusList = (issuer, withdrawn) => { // a bit each, from the least significant of the first byte
  const bits = Buffer.alloc(16);
  for (const index of withdrawn) bits[index >> 3] |= 1 << (index & 7);
  return cbor(sign1(issuer, [[4, issuer.kid], [16, "application/statuslist+cwt"]], [
    [2, STATUS + issuer.name], [6, now], [4, now + DAY],
    [65533, new Map([["bits", 1], ["lst", deflateSync(bits)]])],
  ]));
};

const folder = process.argv[2], trust = join(folder, "trust"), siteKey = randomBytes(32), codes = {};
mkdirSync(join(trust, "status"), { recursive: true });
writeFileSync(join(folder, "site.key"), siteKey);
for (const name of Object.keys(MAKES)) {
  const issuer = newKey(name), file = name.toLowerCase();
  writeFileSync(join(trust, `${file}.pem`), issuer.pem);
  writeFileSync(join(trust, `${file}.toml`), `iss = ["https://${file}.example"]\nalgorithm = "${name}"\n`);
  writeFileSync(join(trust, "status", `${file}.cwt`), statusList(issuer, [9]));
  for (const own of ["ES256", "ES384", "EdDSA"]) {
    const phone = newKey(own), held = credential(issuer, phone, 5), shown = present(phone, held);
    codes[`${name} ${own}`] = code(shown);
    codes[`${name} ${own} packed`] = code(smaller(shown));
    codes[`${name} ${own} sealed`] = code(encrypt0(siteKey, smaller(shown)));
    codes[`${name} ${own} ticket`] = code(smaller(present(phone, held, [[-65539, ticket(issuer, phone)]])));
    codes[`${name} ${own} printed`] = code(smaller(cbor(held)));
    codes[`${name} ${own} redacted`] = code(present(phone, redacted(issuer, phone, 5)));
    codes[`${name} ${own} withdrawn`] = code(smaller(present(phone, credential(issuer, phone, 9))));
  }
}
writeFileSync(join(folder, "codes.json"), JSON.stringify(codes, null, 1));
