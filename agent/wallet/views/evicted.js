/**
 * There were cards and there are none: said plainly, with the way back.
 */

import { button, h, icon } from "../dom.js";
import { t } from "../i18n.js";
import { acknowledge } from "../store.js";
import { errorNotice } from "./parts.js";

export function evicted(app, { lost = 0, error = null }) {
  const text = lost === 1 ? t("evictedTextOne") : t("evictedText", { count: lost });
  const go = async () => {
    await acknowledge();
    await app.start();
  };
  return {
    title: t("evicted"),
    above: h("div.emblem.bad", { "aria-hidden": "true" }, icon("warn")),
    main: [
      error ? errorNotice(error) : h("p.lead", text),
      h("h2", t("evictedHow")),
      h("ol.sheet.rows", ["evictedStep1", "evictedStep2", "evictedStep3"].map((key, index) =>
        h("li", h("b", `${index + 1}.`), h("span", t(key))))),
    ],
    dock: button(t("evictedGo"), () => void go(), { kind: "main" }),
  };
}
