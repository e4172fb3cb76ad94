/**
 * Something went wrong and there is nothing else to show: one sentence, and a way on.
 */

import { button, h, icon } from "../dom.js";
import { t } from "../i18n.js";
import { errorNotice } from "./parts.js";

export function problem(app, { error, again = null }) {
  return {
    title: t("error"),
    middle: true,
    back: false,
    above: h("div.emblem.bad", { "aria-hidden": "true" }, icon("warn")),
    main: errorNotice(error),
    dock: [
      again && button(t("retry"), again, { kind: "main" }),
      button(t("back"), () => void app.start(), { kind: again ? "quiet" : "main" }),
    ],
  };
}
