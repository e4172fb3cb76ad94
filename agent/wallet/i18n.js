/**
 * The language of the page: texts, dates, names of regions.
 *
 * Rules:
 * - every text stands in `strings/LANGUAGE.js` under one key; English stands in for none, a test
 *   compares the keys;
 * - the language is the person's choice, else the first of the phone's that there is;
 * - a date is written as that language writes it, by the phone's own `Intl`.
 */

export const LANGUAGES = { en: "English", es: "Español", zh: "中文" };

const KEY = "idgate.language";
let texts = {};
let language = "en";

/** Choose and load the language; called once at the start and when it is changed. */
export async function loadLanguage(choice = localStorage.getItem(KEY)) {
  const wanted = [choice, ...(navigator.languages ?? [])].map((one) => one?.slice(0, 2).toLowerCase());
  language = wanted.find((one) => Object.hasOwn(LANGUAGES, one)) ?? "en";
  texts = (await import(`./strings/${language}.js`)).default;
  document.documentElement.lang = language === "zh" ? "zh-Hans" : language;
}

/** Keep a choice of the person's. */
export async function setLanguage(choice) {
  localStorage.setItem(KEY, choice);
  await loadLanguage(choice);
}

/** The language in use: `en`, `es` or `zh`. */
export const currentLanguage = () => language;

/**
 * The text of a key, with `{names}` put in as plain text.
 *
 * @throws {Error} there is no such key, which a test would have found
 */
export function t(key, names = {}) {
  const text = texts[key];
  if (text === undefined) throw new Error(`no text for ${key}`);
  return text.replace(/\{(\w+)\}/g, (whole, name) => names[name] ?? whole);
}

/** Whether a text of that key exists: for codes that the engine or an issuer gives. */
export const has = (key) => Object.hasOwn(texts, key);

/** The text of a key, its `{names}` left to `fillIn`. */
export const raw = (key) => t(key);

/** What an issuer wrote in several languages (`display` of OpenID4VCI), in ours if it is there. */
export function ofDisplay(display) {
  const entries = Array.isArray(display) ? display : display ? [display] : [];
  const fits = (entry) => String(entry?.locale ?? "").slice(0, 2).toLowerCase() === language;
  return entries.find(fits) ?? entries[0] ?? {};
}

/** The phone's own variant of the language: days are written otherwise in London and in New York. */
const variant = () => navigator.languages?.find((one) => one.slice(0, 2) === language) ?? language;
const date = (seconds, style) =>
  new Intl.DateTimeFormat(variant(), { dateStyle: style }).format(seconds * 1000);

/** A day: Unix seconds in, "3 December 2026" out. */
export const day = (seconds) => date(seconds, "long");

/** A day where there is little room: "3 Dec 2026". */
export const shortDay = (seconds) => date(seconds, "medium");

/** A time of day with seconds: "10:31:20". */
export const time = (seconds) =>
  new Intl.DateTimeFormat(variant(), { timeStyle: "medium" }).format(seconds * 1000);

/** ISO 3166-2 in words as far as the phone knows them: "Spain (ES-MD)". */
export function region(code) {
  const country = code.slice(0, 2);
  const name = /^[A-Z]{2}$/.test(country) ? new Intl.DisplayNames(language, { type: "region" }).of(country) : "";
  if (!name) return code;
  return code.length > 2 ? `${name} (${code})` : name;
}
