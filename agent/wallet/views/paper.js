/**
 * A card as it is, to be printed: a code that does not change.
 */

import { presentStatic } from "../cose.js";
import { bdi, button, h, notice } from "../dom.js";
import { draw, TooLarge } from "../draw.js";
import { t } from "../i18n.js";
import { get } from "../store.js";
import { issuerName, lastDay, levelMark, nameOf, opened } from "./parts.js";

export async function paper(_app, { id }) {
  const one = await opened(await get(id));
  const canvas = h("canvas", { role: "img", "aria-label": t("codeAltStatic", { kind: nameOf(one) }) });
  const trouble = h("div");
  try {
    // Large enough for a printer; the paper's own size is the style's.
    draw(canvas, presentStatic(one.record.credentials[0].bytes), 640, 1);
  } catch (error) {
    if (!(error instanceof TooLarge) && error?.code !== "bad_credential") throw error;
    trouble.append(notice(t("codeTooLarge"), { kind: "error" }));
  }
  const sheet = h("div.paper",
    h("div",
      bdi(issuerName(one)),
      h("b", bdi(nameOf(one))),
      h("div", t("validUntil"), h("br"), lastDay(one.said)),
      h("div", bdi(one.said.sub)),
      levelMark(one.said.level)),
    h("div.qr", canvas));
  return {
    title: t("paper"),
    main: [
      h("p.lead", t("paperText")),
      one.said.holder && notice(t("paperBound"), { kind: "warn" }),
      trouble,
      sheet,
    ],
    dock: button(t("print"), () => window.print(), { kind: "main", icon: "print" }),
    leave: () => (canvas.width = canvas.height = 0),
  };
}
