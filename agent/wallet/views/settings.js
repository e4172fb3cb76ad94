/**
 * Language, size, the home screen, the lock, and the way to leave nothing behind.
 */

import { h, notice } from "../dom.js";
import { currentLanguage, LANGUAGES, setLanguage, t } from "../i18n.js";
import { state, wipe } from "../lock.js";
import { install, installable, installed, inIosTab, onInstallable } from "../platform.js";
import { acknowledge, persist } from "../store.js";
import { confirmed, row } from "./card.js";

export async function settings(app) {
  const [{ method, prf }, kept] = await Promise.all([state(), navigator.storage?.persisted?.() ?? false]);
  const deaf = onInstallable(() => void app.again());
  const all = async () => {
    if (!(await confirmed(t("wipeAsk"), t("wipeText"), t("wipeYes")))) return;
    await acknowledge();
    await wipe().catch((error) => {
      if (error?.code !== "wiped") throw error;
    });
    await acknowledge();
  };
  const languages = Object.entries(LANGUAGES).map(([code, name]) =>
    h("label.choice",
      h("input", {
        type: "radio", name: "language", checked: code === currentLanguage(),
        onchange: async () => {
          await setLanguage(code);
          await app.again();
          document.querySelector("input[name=language]:checked")?.focus();
        },
      }),
      h("span", { lang: code === "zh" ? "zh-Hans" : code }, name)));
  const put = async () => {
    await install();
    await persist();
    await app.again();
  };
  return {
    title: t("settings"),
    main: [
      h("fieldset", h("legend", t("language")), h("div.sheet", languages)),
      h("div.sheet",
        h("label.choice",
          h("input", { type: "checkbox", checked: app.large(), onchange: (event) => app.large(event.target.checked) }),
          h("span", t("large"), h("span.more", t("largeMore"))))),
      !installed() && (installable() || inIosTab()) &&
        h("div.sheet", installable()
          ? row("down", t("install"), () => void put(), t("installMore"))
          : h("p.consent", h("b", t("install")), h("br"), t("iosSteps"))),
      notice(t(kept ? "storageKept" : "storageMay"), { kind: kept ? "info" : "warn" }),
      h("dl.sheet.pairs", h("div", h("dt", t("lockKind")), h("dd", t(`lock_${method === "pin" ? "pin" : prf ? "prf" : "device"}`)))),
      h("section", h("h2.gap", t("about")), h("p.small.soft", t("aboutText")), h("p.small.soft", t("aboutVendored"))),
      h("div.sheet", row("close", t("wipe"), () => void all())),
    ],
    leave: deaf,
  };
}
