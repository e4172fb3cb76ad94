/*
 * CBOR, base45 and base64url: the parts that a credential needs, read strictly.
 *
 * Exports: `encode`, `decode`, `Tagged`, `Raw`, `REDACTED`, `base45`, `unbase45`, `base64url`, `unbase64url`,
 * `hex`, `unhex`, `concat`, `utf8`. Errors: `malformed`; `encode` throws TypeError for what is none
 * of the values below, which is this program's own mistake.
 *
 * Rules (RFC 8949, as `agent.credential.cbor` reads at the gate):
 * - one item and nothing after it; lengths and integers in shortest form, none indefinite;
 * - map keys are integers or text, each once; 8 containers inside each other, 512 items in all;
 * - false, true, null; no float; a tag only of those asked for, and only at the surface
 *   or right below it;
 * - `redacted` lets simple(59) be a key of a map and tag 60 of bytes an element of an array, and
 *   neither stand anywhere else: there SD-CWT keeps its digests;
 * - a length is held against the bytes that are left before anything is made of it;
 * - writing is core deterministic: keys in bytewise order of their encoding.
 *
 * Values: Uint8Array, string, array, Map, boolean, null, `Tagged`; integers are numbers, beyond
 * 2^53 bigints; as a key also `REDACTED`. `Raw` writes bytes that are CBOR already, as they are.
 */

import { WalletError } from "./errors.js";

const DEPTH = 8;
const ITEMS = 512;
const REDACTED_ELEMENT = 60;
const CONSTANTS = new Map([[20, false], [21, true], [22, null]]);
const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";
const TEXT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The key under which a map lists digests of what was taken out of it: simple(59). */
export const REDACTED = Symbol("simple(59)");

/** A tag and what it marks. */
export class Tagged {
  constructor(number, value) {
    this.number = number;
    this.value = value;
  }
}

/** Bytes that are one item of CBOR already. */
export class Raw {
  constructor(bytes) {
    this.bytes = bytes;
  }
}

const refuse = (what) => {
  throw new WalletError("malformed", { what });
};

export const utf8 = (text) => new TextEncoder().encode(text);

export function concat(parts) {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

// --- CBOR ------------------------------------------------------------------------------------

function head(major, number) {
  const value = BigInt(number);
  if (value < 24n) return Uint8Array.of((major << 5) | Number(value));
  const info = [8n, 16n, 32n, 64n].findIndex((bits) => value < 1n << bits);
  if (info < 0) throw new TypeError("CBOR: an integer over 64 bits");
  const out = new Uint8Array(1 + (1 << info));
  out[0] = (major << 5) | (24 + info);
  for (let at = out.length - 1, rest = value; at > 0; at -= 1, rest >>= 8n) {
    out[at] = Number(rest & 255n);
  }
  return out;
}

/** Bytes before others in bytewise order; a shorter one before what it begins. */
function compare(a, b) {
  const end = Math.min(a.length, b.length);
  for (let at = 0; at < end; at += 1) if (a[at] !== b[at]) return a[at] - b[at];
  return a.length - b.length;
}

/** Encode a value as core deterministic CBOR. */
export function encode(value) {
  if (value === false) return Uint8Array.of(0xf4);
  if (value === true) return Uint8Array.of(0xf5);
  if (value === null) return Uint8Array.of(0xf6);
  if (typeof value === "bigint" || Number.isSafeInteger(value)) {
    return value < 0 ? head(1, -1n - BigInt(value)) : head(0, value);
  }
  if (typeof value === "string") {
    const text = utf8(value);
    return concat([head(3, text.length), text]);
  }
  if (value instanceof Uint8Array) return concat([head(2, value.length), value]);
  if (Array.isArray(value)) return concat([head(4, value.length), ...value.map(encode)]);
  if (value instanceof Map) {
    const pairs = [...value].map(([key, item]) => [encode(key), encode(item)]);
    pairs.sort((a, b) => compare(a[0], b[0]));
    return concat([head(5, pairs.length), ...pairs.flat()]);
  }
  if (value instanceof Tagged) return concat([head(6, value.number), encode(value.value)]);
  if (value instanceof Raw) return value.bytes;
  throw new TypeError(`CBOR: cannot encode ${typeof value}`);
}

class Reader {
  constructor(data, tags, redacted) {
    this.data = data;
    this.tags = tags;
    this.redacted = redacted;
    this.at = 0;
    this.room = ITEMS;
  }

  bytes(length) {
    if (length > this.data.length - this.at) refuse("CBOR: cut short");
    this.at += length;
    return this.data.slice(this.at - length, this.at);
  }

  /** The number in or after an initial byte; safe integers as numbers, others as bigints. */
  number(info) {
    if (info < 24) return info;
    if (info > 27) refuse("CBOR: indefinite or reserved length");
    const size = 1 << (info - 24);
    const value = this.bytes(size).reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
    if (value < (size === 1 ? 24n : 1n << BigInt(size * 4))) {
      refuse("CBOR: a number not in its shortest form");
    }
    return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
  }

  take(items) {
    if (items > this.data.length - this.at) refuse("CBOR: cut short");
    this.room -= Number(items);
    if (this.room < 0) refuse("CBOR: too many items");
  }

  item(depth) {
    const [initial] = this.bytes(1);
    const major = initial >> 5;
    const info = initial & 31;
    if (major === 7) {
      if (!CONSTANTS.has(info)) refuse("CBOR: a float or simple value");
      return CONSTANTS.get(info);
    }
    const number = this.number(info);
    if (major === 0) return number;
    if (major === 1) {
      if (typeof number === "number" && number < Number.MAX_SAFE_INTEGER) return -1 - number;
      return -1n - BigInt(number);
    }
    if (major === 2) return this.bytes(number);
    if (major === 3) return text(this.bytes(number));
    if (depth >= DEPTH) refuse("CBOR: nested too deep");
    if (major === 6) {
      if (depth > 1 || !this.tags.includes(number)) refuse("CBOR: a tag that is not allowed here");
      this.take(1);
      return new Tagged(number, this.item(depth + 1));
    }
    this.take(major === 4 ? number : 2 * Number(number));
    if (major === 4) return Array.from({ length: number }, () => this.element(depth + 1));
    const out = new Map();
    for (let pair = 0; pair < number; pair += 1) {
      const key = this.marked(0xf8, 59) ? REDACTED : this.item(depth + 1);
      if (key !== REDACTED && !["number", "bigint", "string"].includes(typeof key)) {
        refuse("CBOR: such a map key");
      }
      if (out.has(key)) refuse("CBOR: a key twice in one map");
      out.set(key, this.item(depth + 1));
    }
    return out;
  }

  /** An element of an array, which may be a digest of what was there. */
  element(depth) {
    if (!this.marked(0xd8, REDACTED_ELEMENT)) return this.item(depth);
    this.take(1);
    const digest = this.item(depth + 1);
    if (!(digest instanceof Uint8Array)) refuse("CBOR: a redacted element that is no digest");
    return new Tagged(REDACTED_ELEMENT, digest);
  }

  /** Whether two bytes of SD-CWT come next and may; they are then read. */
  marked(first, second) {
    const found = this.redacted && this.data[this.at] === first && this.data[this.at + 1] === second;
    if (found) this.at += 2;
    return found;
  }
}

function text(bytes) {
  try {
    return TEXT.decode(bytes);
  } catch {
    return refuse("CBOR: text is not UTF-8");
  }
}

/** Decode one item that fills `data`; `tags` are allowed, `redacted` takes what SD-CWT took out. */
export function decode(data, { tags = [], redacted = false } = {}) {
  const reader = new Reader(data, tags, redacted);
  const value = reader.item(0);
  if (reader.at !== data.length) refuse("CBOR: bytes after the item");
  return value;
}

// --- texts -----------------------------------------------------------------------------------

/** Base45 (RFC 9285): what a QR code's alphanumeric mode holds. */
export function base45(bytes) {
  let out = "";
  for (let at = 0; at < bytes.length; at += 2) {
    const pair = at + 1 < bytes.length;
    let rest = pair ? bytes[at] * 256 + bytes[at + 1] : bytes[at];
    for (let digit = 0; digit < (pair ? 3 : 2); digit += 1, rest = Math.floor(rest / 45)) {
      out += ALPHABET[rest % 45];
    }
  }
  return out;
}

export function unbase45(string) {
  if (string.length % 3 === 1) refuse("base45: a character left over");
  const out = [];
  for (let at = 0; at < string.length; at += 3) {
    const digits = [...string.slice(at, at + 3)].map((character) => ALPHABET.indexOf(character));
    if (digits.includes(-1)) refuse("base45: a character outside the alphabet");
    const value = digits.reduceRight((sum, digit) => sum * 45 + digit, 0);
    if (value > (digits.length === 3 ? 65535 : 255)) refuse("base45: a group too large");
    if (digits.length === 3) out.push(value >> 8);
    out.push(value & 255);
  }
  return Uint8Array.from(out);
}

/** Base64url without padding (RFC 4648 section 5). */
export function base64url(bytes) {
  let raw = "";
  for (const byte of bytes) raw += String.fromCharCode(byte);
  return btoa(raw).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** The inverse; padding, other characters and bits that nothing stands for are refused. */
export function unbase64url(string) {
  if (typeof string !== "string" || !/^[A-Za-z0-9_-]*$/.test(string) || string.length % 4 === 1) {
    refuse("base64url");
  }
  const raw = atob(string.replaceAll("-", "+").replaceAll("_", "/"));
  const out = Uint8Array.from(raw, (character) => character.charCodeAt(0));
  if (base64url(out) !== string) refuse("base64url: bits left over");
  return out;
}

export const hex = (bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");

export function unhex(string) {
  if (!/^([0-9A-Fa-f]{2})*$/.test(string)) refuse("hexadecimal");
  return Uint8Array.from(string.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}
