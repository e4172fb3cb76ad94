/**
 * A card that is offered: who offers it stands first, then the code from the desk.
 *
 * Rules:
 * - nothing is asked for and nothing is spent before the issuer's host was shown;
 * - a wrong code leaves the offer as it is, and what can be tried again has a button for that;
 * - an offer that was taken is no view to go back to.
 */

import { bdi, button, h, icon, notice } from "../dom.js";
import { ofDisplay, t } from "../i18n.js";
import { inIosTab } from "../platform.js";
import { get, persist } from "../store.js";
import { readOffer, take } from "../vci.js";
import { busy, cardFace, errorNotice, kindName, opened, tell } from "./parts.js";

const WRONG = new Set(["code_wrong", "code_needed"]);
const AGAIN = new Set(["offline", "timeout", "desk_fault", "rate_limited", "nonce_refused"]);

export async function offer(app, parameters) {
  if (inIosTab() && !parameters.anyway) return iosFirst(app, parameters);
  if (!parameters.offer) return reading(app, parameters);
  return accept(app, parameters.offer);
}

function reading(app, { text }) {
  let gone = false;
  const read = async () => {
    try {
      const found = await readOffer(text);
      if (!gone) await app.replace("offer", { text, offer: found, anyway: true });
    } catch (error) {
      const again = AGAIN.has(error?.code) ? () => void app.replace("offer", { text, anyway: true }) : null;
      if (!gone) await app.replace("problem", { error, again });
    }
  };
  return {
    title: t("receive"),
    middle: true,
    main: busy(t("working")),
    shown: () => void read(),
    leave: () => (gone = true),
  };
}

function accept(app, found) {
  const wanted = found.transactionCode;
  const name = ofDisplay(found.metadata.display).name;
  const trouble = h("div");
  const field = wanted && h(`input${wanted.numeric ? ".digits" : ""}`, {
    id: "transaction",
    inputmode: wanted.numeric ? "numeric" : "text",
    autocomplete: "one-time-code",
    autocapitalize: "off",
    maxlength: wanted.length ? wanted.length + 4 : 64,
    "aria-describedby": "transaction-help",
    required: true,
  });
  const taking = button(t("receiveTake"), () => void go(), { kind: "main" });
  const go = async () => {
    if (taking.disabled) return;
    taking.disabled = true;
    trouble.replaceChildren(...busy(t("working")));
    let record;
    try {
      record = await take(found, { transactionCode: field?.value.trim() || undefined });
    } catch (error) {
      taking.disabled = false;
      if (WRONG.has(error?.code)) {
        field?.setAttribute("aria-invalid", "true");
        tell(trouble, errorNotice(error));
        field?.focus();
        field?.select();
      } else if (AGAIN.has(error?.code)) {
        tell(trouble, errorNotice(error));
      } else {
        await app.replace("problem", { error });
      }
      return;
    }
    await persist();
    await app.reset("home");
    await app.go("received", { id: record.id });
  };
  const cards = found.cards.map(({ kind, display }) => kindName(kind, display)).join(", ");
  const length = wanted?.length;
  return {
    title: t("receive"),
    main: [
      h("p.lead", t("receiveFrom")),
      h("p.host", name && h("span.more", bdi(name)), h("bdi", { dir: "ltr" }, found.host)),
      h("p", t("receiveCheck")),
      h("div.sheet", h("ul.rows", h("li", icon("ticket"), h("b", bdi(cards))))),
      found.holder && notice(t("receiveUpgrade")),
      trouble,
      wanted && h("form.field", { onsubmit: (event) => (event.preventDefault(), void go()) },
        h("label", { for: "transaction" }, t("receiveCode")),
        field,
        h("p.small.soft", { id: "transaction-help" },
          length ? t("receiveCodeHelp", { length }) : t("receiveCodeHelpAny"))),
    ],
    dock: [taking, button(t("receiveRefuse"), () => app.back(), { kind: "quiet" })],
  };
}

/** The card that came, for a moment. */
export async function received(app, { id }) {
  const one = await opened(await get(id));
  return {
    title: t("receiveDone"),
    middle: true,
    back: false,
    main: [cardFace(one), h("p.lead", t("receiveDoneText"))],
    dock: [
      button(t("receiveShow"), () => void app.replace("card", { id }), { kind: "main" }),
      button(t("done"), () => app.back(), { kind: "quiet" }),
    ],
  };
}

/** On an iPhone a tab's store is another than the installed page's: said before anything is spent. */
function iosFirst(app, parameters) {
  const onward = () => void app.replace("offer", { ...parameters, anyway: true });
  return {
    title: t("iosTitle"),
    main: [h("p.lead", t("iosText")), h("p", t("iosSteps"))],
    dock: button(t("iosAnyway"), onward, { kind: "quiet" }),
  };
}
