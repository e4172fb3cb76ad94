/**
 * The lock: one button, or a PIN. Nothing here depends on what cards there are.
 */

import { button, h, icon } from "../dom.js";
import { t } from "../i18n.js";
import { RULES, state, unlock } from "../lock.js";
import { errorNotice } from "./parts.js";

export async function locked(app) {
  const { method, left, wait_s } = await state();
  const trouble = h("div");
  const enter = async (act) => {
    trouble.replaceChildren();
    try {
      await act();
    } catch (error) {
      if (error?.code === "wiped") return void app.reset("evicted", { error });
      trouble.append(errorNotice(error));
      return void after(error);
    }
    await app.enter();
  };
  let after = () => {};
  const pending = app.pending && h("p.soft", t("lockedPending"));
  if (method !== "pin") {
    return {
      title: t("locked"),
      middle: true,
      above: h("div.emblem", { "aria-hidden": "true" }, icon("lock")),
      main: [h("p.lead", t("lockedText")), pending, trouble],
      dock: button(t("unlock"), () => void enter(() => unlock()), { kind: "main", icon: "finger" }),
    };
  }
  const field = pinField("pin", t("unlockPin"));
  const open = button(t("unlock"), () => submit(), { kind: "main", icon: "lock" });
  const counted = h("p.soft");
  const count = (tries) => {
    counted.textContent = tries <= RULES.tries / 2 ? t("pinLeft", { left: tries }) : "";
  };
  let timer = 0;
  const wait = (seconds) => {
    clearInterval(timer);
    open.disabled = seconds > 0;
    const text = open.querySelector("span");
    const tick = () => {
      text.textContent = seconds > 0 ? t("pinWait", { seconds }) : t("unlock");
      if (seconds <= 0) {
        clearInterval(timer);
        open.disabled = false;
      }
      seconds -= 1;
    };
    tick();
    if (seconds >= 0) timer = setInterval(tick, 1000);
  };
  const submit = () => {
    if (open.disabled) return;
    open.disabled = true;
    void enter(() => unlock({ pin: field.input.value }));
  };
  after = async (error) => {
    field.input.value = "";
    field.input.setAttribute("aria-invalid", "true");
    open.disabled = false;
    count((await state()).left);
    wait(error.detail?.wait_s ?? 0);
    field.input.focus();
  };
  count(left);
  wait(wait_s);
  return {
    title: t("locked"),
    middle: true,
    above: h("div.emblem", { "aria-hidden": "true" }, icon("lock")),
    main: [
      h("p.lead", t("lockedText")),
      pending,
      h("form.field", { onsubmit: (event) => (event.preventDefault(), submit()) }, field.nodes),
      trouble,
      counted,
    ],
    dock: open,
    leave: () => clearInterval(timer),
  };
}

/** A PIN's field: digits, hidden, may be pasted and kept by a password manager. */
export function pinField(id, label, autocomplete = "current-password") {
  const input = h("input.digits", {
    id, type: "password", inputmode: "numeric", pattern: "[0-9]*", autocomplete,
    maxlength: RULES.longest, required: true,
  });
  // A password manager keeps a PIN under a name only.
  const name = h("input", { type: "text", autocomplete: "username", value: "idgate", hidden: true });
  return { input, nodes: [h("label", { for: id }, label), name, input] };
}
