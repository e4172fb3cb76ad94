/**
 * One card: what it is, what a gate learns from it, where it is shown, and what is shown with it.
 *
 * Rules: what will be disclosed stands here before any code is drawn, what the place asks above it and
 * what it is not told below; an expired card shows none.
 */

import { fits } from "../cose.js";
import { ageOf } from "../disclosure.js";
import { bdi, button, fillIn, h, icon, notice } from "../dom.js";
import { day, raw, t } from "../i18n.js";
import { isFresh, lastPlace } from "../places.js";
import { get, list, remember } from "../store.js";
import { discard, refresh } from "../vci.js";
import {
  busy, cardFace, errorNotice, isTicket, issuerName, lastDay, levelName, nameOf, needName, opened,
  regions, tell as reveal, toldTo, validity,
} from "./parts.js";

export async function card(app, { id, said: message = null }) {
  const one = await opened(await get(id));
  const others = (await Promise.all((await list()).map(opened))).filter(
    ({ record }) => record.id !== id,
  );
  const state = validity(one);
  const ticket = isTicket(one);
  const pairs = others.filter((other) => validity(other) !== "expired" && pair(ticket ? one : other, ticket ? other : one));
  const chosen = {
    place: app.place && isFresh(app.place) ? app.place : await lastPlace(),
    beside: ticket ? (pairs[0]?.record.id ?? null) : null,
  };
  const trouble = h("div");
  const disclosed = h("ul.rows", { role: "list" });
  const tell = async () => {
    const beside = pairs.find(({ record }) => record.id === chosen.beside);
    const [identity, business] = ticket ? [beside, one] : [one, beside];
    const { place } = chosen;
    const shown = await toldTo(identity ?? one, place?.needs ?? null);
    if (place !== chosen.place) return; // another was chosen meanwhile
    disclosed.replaceChildren(...learns(identity ?? one, shown, identity ? business : null, place));
  };
  await tell();
  const show = async () => {
    await remember("card", ticket ? chosen.beside : id);
    await app.go("code", {
      id: ticket ? chosen.beside : id,
      ticket: ticket ? id : chosen.beside,
      place: chosen.place,
    });
  };
  const renew = async () => {
    trouble.replaceChildren(...busy(t("working")));
    try {
      await refresh({ id });
    } catch (error) {
      reveal(trouble, errorNotice(error));
      return;
    }
    await app.replace("card", { id, said: t("renewed") });
  };
  const renewable = one.record.refreshToken !== null && (state === "soon" || state === "expired");
  const usable = state !== "expired" && (!ticket || pairs.length > 0);
  return {
    title: nameOf(one),
    hidden: true,
    above: cardFace(one),
    main: [
      message && notice(message),
      renewable && notice(t("renewSoon"), { kind: "warn", icon: "clock" }),
      renewable && button(t("renew"), () => void renew(), { kind: "plain" }),
      trouble,
      ticket && pairs.length === 0 && notice(t("besideMissing"), { kind: "warn" }),
      usable && where(app, id, chosen, tell),
      pairs.length > 0 && beside(pairs, ticket, chosen, tell),
      h("section", h("h2.gap", t("shows")), h("div.sheet", disclosed)),
      about(one),
      h("div.sheet",
        one.said.parts.length === 0 && row("print", t("paper"), () => void app.go("paper", { id })),
        row("close", t("remove"), () => void removal(app, id))),
    ],
    dock: usable && button(t("showCode"), () => void show(), { kind: "main", icon: "scan" }),
  };
}

/** Whether any credential of the identity's batch may stand beside the ticket. */
const pair = (ticket, identity) =>
  isTicket(ticket) && !isTicket(identity) && identity.all.some((said) => fits(ticket.said, said));

/** Where a code is good, in words. */
export function placeName(place) {
  if (place === null) return [t("whereAny")];
  const names = { site: bdi(place.site), gate: place.gate && bdi(place.gate) };
  return fillIn(raw(place.gate ? "whereGate" : "whereSite"), names);
}

function learns(one, said, ticket, place) {
  const line = (shape, key, names = {}) =>
    h("li", icon(shape), h("span", fillIn(raw(key), names)));
  const asks = new Set(place?.needs ?? []);
  const lacks = [...asks].filter((word) => !answers(said, word));
  const hidden = new Set(one.said.parts.filter((word) => !said.parts.includes(word)));
  const words = (some) => ({ what: [...some].map(needName).join(", ") });
  const kinds = new Set(said.references.map(({ modality, form }) => `${modality}-${form}`));
  // What is closest to the person first.
  return [
    asks.size > 0 && line("place", "asks", words(asks)),
    place?.needs && asks.size === 0 && line("place", "asksNothing"),
    lacks.length > 0 && line("lock", "asksMore", words(lacks)),
    kinds.has("face-template") && line("face", "showsFaceTemplate"),
    kinds.has("face-image") && line("face", "showsFaceImage"),
    [...kinds].some((kind) => kind.startsWith("finger")) && line("finger", "showsFinger"),
    said.birthDate && line("check", "showsBirth", { date: bdi(said.birthDate) }),
    said.names.length > 0 && line("check", "showsName", { name: bdi(said.names.join(", ")) }),
    said.ages.length > 0 && line("check", "showsAges", words(said.ages.map((age) => `age-${age}`))),
    line("check", "showsIssuer", { issuer: bdi(issuerName(one)) }),
    line("check", "showsKind", { kind: bdi(nameOf(one)), level: levelName(said.level) }),
    line("check", "showsSub", { sub: bdi(said.sub) }),
    line("check", "showsValid"),
    said.regions.length > 0 && line("check", "showsRegion", { regions: bdi(regions(said)) }),
    said.status && line("check", "showsStatus"),
    ticket && line("ticket", "showsTicket", { kind: bdi(nameOf(ticket)) }),
    place && line("place", "showsPlace"),
    hidden.size > 0 && line("lock", "hides", words(hidden)),
    said.names.length === 0 && line("lock", "showsNot"),
  ].filter(Boolean);
}

/** Whether what is shown answers what a place asks for. */
function answers(said, word) {
  if (word === "birth-date") return said.birthDate !== null;
  if (word === "name") return said.names.length > 0;
  const least = ageOf(word);
  if (least !== null) return said.birthDate !== null || said.ages.some((age) => age >= least);
  return said.references.some(({ modality }) => modality === word);
}

function where(app, id, chosen, tell) {
  const name = h("span", placeName(chosen.place));
  const given = chosen.place;
  const choice = (value, text) =>
    h("label.choice",
      h("input", {
        type: "radio", name: "place", checked: value === chosen.place,
        onchange: () => {
          chosen.place = value;
          name.replaceChildren(...placeName(value));
          void tell();
        },
      }),
      h("span", text));
  return h("details.sheet",
    h("summary.row-button", icon("place"), h("span.grow", h("span.more", t("where")), name), icon("down")),
    given && choice(given, placeName(given)),
    choice(null, t("whereAny")),
    row("scan", t("whereScan"), () => void app.go("scan", { card: id })));
}

function beside(pairs, ticket, chosen, tell) {
  const choice = (value, text) =>
    h("label.choice",
      h("input", {
        type: "radio", name: "beside", checked: value === chosen.beside,
        onchange: () => {
          chosen.beside = value;
          void tell();
        },
      }),
      text);
  return h("fieldset",
    h("legend", t(ticket ? "besideIdentity" : "beside")),
    h("div.sheet",
      !ticket && choice(null, h("span", t("besideNone"))),
      pairs.map((other) =>
        choice(other.record.id,
          h("span", bdi(nameOf(other)), h("span.more", bdi(issuerName(other)), " · ", lastDay(other.said)))))));
}

function about(one) {
  const { record, said } = one;
  const pairs = [
    [t("issuerLabel"), bdi(issuerName(one))],
    [t("kindLabel"), bdi(nameOf(one))],
    [t("number"), bdi(said.sub)],
    [t("validFrom"), day(said.nbf)],
    [t("validUntil"), lastDay(said)],
    [t("region"), bdi(regions(said))],
    said.parts.length > 0 && [t("mayShow"), [...new Set(said.parts)].map(needName).join(", ")],
    [t("received"), day(record.receivedAt)],
    ...Object.entries(said.details ?? {}).map(([key, value]) => [bdi(key), bdi(value)]),
  ].filter(Boolean);
  return h("details.sheet",
    h("summary.row-button", icon("ticket"), h("span.grow", t("details")), icon("down")),
    h("dl.pairs", pairs.map(([key, value]) => h("div", h("dt", key), h("dd", value)))),
    record.credentials.length > 1 &&
      h("p.foot-note", t("copies", { count: record.credentials.length })));
}

export const row = (shape, text, act, more = null) =>
  h("button.row-button", { type: "button", onclick: act },
    icon(shape), h("span.grow", text, more && h("span.more", more)));

/** Ask before a card is deleted: the browser's own dialogue element, so that focus stays in it. */
async function removal(app, id) {
  const sure = await confirmed(t("removeAsk"), t("removeText"), t("removeYes"));
  if (!sure) return;
  await discard({ id });
  app.say(t("removed"));
  await app.reset("home");
}

/** A question with one dangerous answer; resolves to whether it was given. */
export function confirmed(title, text, yes) {
  return new Promise((done) => {
    const end = (sure) => {
      dialog.close();
      dialog.remove();
      done(sure);
    };
    const dialog = h("dialog",
      { "aria-labelledby": "ask", oncancel: () => end(false) },
      h("h2", { id: "ask" }, title),
      h("p.lead", text),
      button(yes, () => end(true), { kind: "danger" }),
      button(t("cancel"), () => end(false), { kind: "plain" }));
    document.getElementById("page").append(dialog);
    dialog.showModal();
  });
}
