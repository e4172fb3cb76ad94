/**
 * The cards, and the one thing to do besides showing one: scan.
 */

import { condition, list, onChange } from "../store.js";
import { button, h, icon } from "../dom.js";
import { t } from "../i18n.js";
import { lock } from "../lock.js";
import { cardFace, isTicket, opened, validity } from "./parts.js";

export async function home(app) {
  const cards = await Promise.all((await list()).map(opened));
  // What one shows at a gate comes first, tickets after it, what is over last.
  const rank = (one) => (validity(one) === "expired" ? 2 : isTicket(one) ? 1 : 0);
  cards.sort((a, b) => rank(a) - rank(b));
  const deaf = onChange(() => void condition().then(({ kind }) => (kind === "evicted" ? app.start() : app.again())));
  const round = (name, label, act) =>
    h("button.round", { type: "button", "aria-label": label, onclick: act }, icon(name));
  return {
    title: t(cards.length ? "app" : "noCards"),
    middle: cards.length === 0,
    above: cards.length === 0 && h("div.emblem", { "aria-hidden": "true" }, icon("ticket")),
    main: cards.length
      ? h("ul.cards", { role: "list" }, cards.map((one) =>
          h("li", cardFace(one, () => void app.go("card", { id: one.record.id })))))
      : h("p.lead", t("noCardsText")),
    dock: [
      round("lock", t("lockNow"), () => lock({ everywhere: true })),
      button(t("scanAny"), () => void app.go("scan"), { kind: "main", icon: "scan" }),
      round("gear", t("settings"), () => void app.go("settings")),
    ],
    row: true,
    leave: deaf,
  };
}
