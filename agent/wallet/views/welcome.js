/**
 * The first visit: what this is, and the lock, before there is anything to lock.
 */

import { button, h, icon, notice } from "../dom.js";
import { t } from "../i18n.js";
import { methods, setUp } from "../lock.js";
import { persist } from "../store.js";
import { pinField } from "./locked.js";
import { errorNotice } from "./parts.js";

export async function welcome(app, { step = "hello" } = {}) {
  if (step === "hello") {
    return {
      title: t("welcome"),
      middle: true,
      above: h("img.mark", { src: "icons/icon.svg", alt: "", width: "96", height: "96" }),
      main: h("p.lead", t("welcomeText")),
      dock: button(t("next"), () => void app.go("welcome", { step: "lock" }), { kind: "main" }),
    };
  }
  return step === "lock" ? chooseLock(app) : choosePin(app);
}

async function begun(app) {
  await persist();
  await app.enter();
}

async function chooseLock(app) {
  const { device } = await methods();
  const trouble = h("div");
  const byDevice = async () => {
    trouble.replaceChildren();
    try {
      await setUp({ method: "device", label: t("app") });
    } catch (error) {
      trouble.append(errorNotice(error));
      return;
    }
    await begun(app);
  };
  const row = (shape, text, more, act) =>
    h("button.row-button", { type: "button", onclick: act },
      icon(shape), h("span.grow", h("b", text), h("span.more", more)));
  return {
    title: t("lockChoose"),
    main: [
      h("p.lead", t(device ? "lockWhy" : "lockNone")),
      trouble,
    ],
    dock: h("div.sheet", [
      device && row("finger", t("lockDevice"), t("lockDeviceMore"), () => void byDevice()),
      row("lock", t("lockPin"), t("lockPinMore"), () => void app.go("welcome", { step: "pin" })),
    ]),
  };
}

function choosePin(app) {
  const first = pinField("pin", t("pinLabel"), "new-password");
  const second = pinField("again", t("pinAgain"), "new-password");
  const trouble = h("div");
  const submit = async () => {
    trouble.replaceChildren();
    const pin = first.input.value;
    if (pin !== second.input.value) {
      second.input.setAttribute("aria-invalid", "true");
      trouble.append(notice(t("pinDiffers"), { kind: "error" }));
      return;
    }
    try {
      await setUp({ method: "pin", pin });
    } catch (error) {
      first.input.setAttribute("aria-invalid", "true");
      trouble.append(errorNotice(error));
      return;
    }
    await begun(app);
  };
  const set = (event) => {
    event.preventDefault();
    void submit();
  };
  return {
    title: t("pinNew"),
    main: h("form.form", { id: "set", onsubmit: set },
      h("p.lead", t("pinRule")),
      h("div.field", first.nodes),
      h("div.field", second.nodes),
      trouble,
      h("button.heard-only", { type: "submit", tabindex: "-1", "aria-hidden": "true" }, "")),
    dock: button(t("pinSet"), () => void submit(), { kind: "main", icon: "lock" }),
  };
}
