/**
 * The code: on white, as wide as the screen, new every 5 seconds.
 *
 * Rules:
 * - one credential of the batch is taken for a showing, and all its codes are of it; they disclose
 *   what the place asks for, as the card's page told;
 * - the time in the code is the issuer's, as far as it is known; a challenge is put in while it is
 *   fresh, and its end is told;
 * - the code has a name for who does not see it; the time bar is not read out, and a new code moves no
 *   focus;
 * - the screen stays awake; the page locks itself as ever, and says when.
 */

import { checkClock, now, offset } from "../clock.js";
import { present } from "../cose.js";
import { bdi, button, fillIn, h, notice } from "../dom.js";
import { draw, TooLarge } from "../draw.js";
import { raw, t, time } from "../i18n.js";
import { RULES } from "../lock.js";
import { isFresh } from "../places.js";
import { get, spend } from "../store.js";
import { stayAwake } from "../wake.js";
import { placeName } from "./card.js";
import { errorNotice, nameOf, opened } from "./parts.js";

const EVERY_MS = 5000;
const ANYWHERE = "*";

export async function code(app, { id, ticket = null, place = null }) {
  const one = await opened(await get(id));
  const business = ticket && (await opened(await get(ticket)));
  const bound = business?.said.holder ?? undefined;
  const shown = await spend(id, { thumbprint: bound });
  const canvas = h("canvas", { role: "img", "aria-label": t("codeAlt", { kind: nameOf(one) }) });
  const frame = h("div.qr", canvas);
  const bar = h("div.bar", { "aria-hidden": "true" });
  const trouble = h("div");
  const until = h("span");
  const answered = h("p.small.soft");
  let timer = 0;
  let text = "";
  let going = true;

  const paint = () => {
    if (!text) return;
    const room = Math.min(document.documentElement.clientWidth, innerHeight * 0.74);
    draw(canvas, text, room);
  };
  const next = async () => {
    const fresh = place !== null && place.cnonce !== null && isFresh(place);
    performance.mark("idgate-code-begin");
    text = await present(shown.bytes, shown.privateKey, {
      aud: place?.audience ?? ANYWHERE,
      iat: now(),
      cnonce: fresh ? place.cnonce : null,
      ticket: business ? business.record.credentials[0].bytes : null,
      needs: place?.needs ?? null,
    });
    if (!going) return;
    paint();
    performance.measure("idgate-code", "idgate-code-begin");
    bar.replaceChildren(h("i"));
    if (place?.cnonce) {
      const left = Math.max(0, Math.round(place.at + 60 - Date.now() / 1000));
      answered.textContent = t("codeChallenge", { seconds: left });
    }
  };
  const step = () => {
    next().then(
      () => (timer = going ? setTimeout(step, EVERY_MS) : 0),
      (error) => {
        bar.replaceChildren();
        trouble.replaceChildren(
          error instanceof TooLarge || error?.code === "bad_credential"
            ? notice(t("codeTooLarge"), { kind: "error" })
            : errorNotice(error),
        );
      },
    );
  };
  const told = () => {
    const { seconds, told: wrong } = offset();
    if (wrong) trouble.replaceChildren(notice(t("clockOff", { seconds: Math.abs(Math.round(seconds)) }), { kind: "warn", icon: "clock" }));
    else if (seconds === null) trouble.replaceChildren(notice(t("clockUnknown"), { kind: "warn", icon: "clock" }));
  };
  const awake = stayAwake();
  const extend = () => (until.textContent = t("codeUntil", { time: time(Date.now() / 1000 + RULES.idle_s) }));
  extend();
  addEventListener("resize", paint);
  addEventListener("pointerdown", extend);
  return {
    title: nameOf(one),
    white: true,
    main: [
      h("p.for", place ? fillIn(raw("codeFor"), { place: h("b", placeName(place)) }) : t("codeForAny")),
      frame,
      h("div", bar),
      h("p.until.soft", h("span", t("codeNew")), until),
      place?.cnonce && answered,
      trouble,
      business && h("p.small", fillIn(raw("showsTicket"), { kind: bdi(nameOf(business)) })),
      h("p.small.soft", t("codeHint")),
    ],
    dock: [
      button(t("whereScanShort"), () => void app.replace("scan", { card: id }), { kind: "plain" }),
      button(t("done"), () => app.back(), { kind: "main" }),
    ],
    row: true,
    shown() {
      step();
      told();
      void checkClock().then(() => going && told());
    },
    leave() {
      going = false;
      clearTimeout(timer);
      awake();
      removeEventListener("resize", paint);
      removeEventListener("pointerdown", extend);
      canvas.width = canvas.height = 0;
      text = "";
    },
  };
}
