/**
 * What several views show: a card, its words, an error in words.
 */

import { describe, disclosed } from "../cose.js";
import { ageOf } from "../disclosure.js";
import { bdi, h, notice } from "../dom.js";
import { day, has, ofDisplay, region, shortDay, t } from "../i18n.js";
import { now } from "../clock.js";

/** Tickets go beside a card that says who one is. */
const TICKETS = new Set(["rail-ticket", "event-ticket"]);
const SOON_S = 14 * 86_400;
/** Where our sentence cannot say what it is that the issuer does not like. */
const QUOTED = new Set([
  "bad_answer", "denied", "form_refused", "picture_refused", "proof_refused", "refresh_refused",
  "unsupported",
]);

/**
 * A record of the store with what its credentials say.
 *
 * @returns {Promise<{record: object, said: object, all: object[]}>} `said` of the first credential;
 *   `all` of each, in order
 */
export async function opened(record) {
  const said = await Promise.all(record.credentials.map(({ bytes }) => describe(bytes)));
  const all = said.map((one) => ({ ...one, source: record.issuer }));
  return { record, said: all[0], all };
}

/** What a place is told of a card: as `describe` says it, of what is left when the rest is kept back. */
export const toldTo = async ({ record }, needs) =>
  describe(await disclosed(record.credentials[0].bytes, needs));

/** What a place asks for, or a card can keep back, in words. */
export function needName(word) {
  const age = ageOf(word);
  if (age !== null) return t("need_age", { age });
  const key = `need_${word.replaceAll("-", "_")}`;
  return t(word !== "age" && has(key) ? key : "need_other");
}

export const isTicket = ({ said }) => TICKETS.has(said.kind) || said.details !== null;

/** What a card is, in words: the issuer's own, else ours, else "Card". */
export function kindName(kind, display) {
  const own = ofDisplay(display).name;
  const key = `kind_${kind.replaceAll("-", "_")}`;
  return own || t(has(key) ? key : "kind_other");
}

export const levelName = (level) => t(level === 2 ? "level2" : "level1");

/** Who gave it: the name of the issuer's metadata, else the issuer's identifier on the card or here. */
export const issuerName = ({ record, said }) =>
  ofDisplay(record.display?.issuer).name || (said.iss ?? hostOf(record.issuer));

const hostOf = (address) => (URL.canParse(address) ? new URL(address).host : address);

export const nameOf = (one) => kindName(one.said.kind, one.record.display?.card);

/** `expired`, `notYet`, `soon` or `valid`, by the corrected time. */
export function validity({ said }) {
  const at = now();
  if (at >= said.exp) return "expired";
  if (at < said.nbf) return "notYet";
  return said.exp - at < SOON_S ? "soon" : "valid";
}

/** The last day on which it is valid. */
export const lastDay = (said) => day(said.exp - 1);

export const regions = (said) => (said.regions.length ? said.regions.map(region).join(", ") : t("everywhere"));

/** Word and pattern: one ring of two filled, or both. */
export const levelMark = (level) =>
  h(`span.level${level === 2 ? ".two" : ""}`, h("i", { "aria-hidden": "true" }), levelName(level));

/**
 * A card: black and white, or in the issuer's colour.
 *
 * @param {object} one as `opened` returned it
 * @param {(() => void)|null} act makes it a button
 */
export function cardFace(one, act = null) {
  const { said } = one;
  const state = validity(one);
  const upgraded = said.level === 2;
  const tag = `${act ? "button" : "div"}.card.${upgraded ? "upgraded" : "basic"}${state === "expired" ? ".over" : ""}`;
  return h(
    tag,
    { type: act && "button", onclick: act, style: upgraded ? colours(one) : {} },
    h("span.by", bdi(issuerName(one)), said.regions.length > 0 && h("span.in", bdi(regions(said)))),
    h("span.what", bdi(nameOf(one)), said.details && h("small", bdi(Object.values(said.details).join(" · ")))),
    h(
      "span.foot",
      state === "expired" || state === "notYet"
        ? h("span.stamp", t(state))
        : h("span", t("validUntil"), h("b", shortDay(said.exp - 1))),
      levelMark(said.level),
    ),
  );
}

function colours({ record }) {
  const shown = [ofDisplay(record.display?.card), ofDisplay(record.display?.issuer)];
  const ground = shown.find((one) => /^#[0-9a-f]{6}$/i.test(one.background ?? ""))?.background ?? "#0b5d4e";
  const ink = luminance(ground) > 0.179 ? "#111111" : "#ffffff";
  const light = ink === "#ffffff";
  return {
    "--card": ground,
    "--on-card": ink,
    "--ring": light ? "rgb(255 255 255 / 13%)" : "rgb(0 0 0 / 11%)",
    "--gloss": light ? "rgb(255 255 255 / 10%)" : "rgb(255 255 255 / 40%)",
  };
}

/** Relative luminance of WCAG: above 0.179 black text has the higher contrast. */
function luminance(colour) {
  const parts = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16) / 255);
  const [r, g, b] = parts.map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** One sentence for an error of the engine; what is none of its codes is written to the console. */
export function errorText(error, names = {}) {
  const key = `error_${error?.code}`;
  if (!has(key)) console.error(error);
  const detail = error?.detail ?? {};
  const seconds = detail.seconds ?? detail.wait_s ?? "";
  return t(has(key) ? key : "error_unknown", { ...detail, seconds, ...names });
}

/**
 * The sentence, and below it the issuer's own words as a quotation.
 *
 * @param {Error} error
 * @param {object} [names] instead of those of the error: a field as the form names it
 */
export function errorNotice(error, names = {}) {
  const box = notice(errorText(error, names), { kind: "error" });
  const own = error?.detail?.description;
  if (own && QUOTED.has(error.code)) {
    box.lastElementChild.append(
      h("br"), h("span.small", t("issuerSays"), " ", h("q", { dir: "auto", lang: "en" }, own)),
    );
  }
  return box;
}

/** Show what went wrong where it is seen: scrolled to, above what stands at the bottom. */
export function tell(box, ...nodes) {
  box.replaceChildren(...nodes);
  box.scrollIntoView({ block: "nearest" });
}

export const busy = (text) => [h("div.busy", { "aria-hidden": "true" }), h("p", { role: "status" }, text)];
