/**
 * Making the basic card oneself: data, consent, one's own face where the place asks for it, the card.
 *
 * Rules:
 * - who invites is shown first; what is asked, the desk says; consent is read before it is given, and
 *   that for the face apart from it;
 * - a picture is taken when the person presses, leaves the phone with the form only, and its bytes are
 *   overwritten afterwards; when the view goes, or the page locks, they go too;
 * - without a face there is always a way: named here, or the desk.
 */

import { openCamera, snapshot } from "../camera.js";
import { bdi, button, fillIn, h, icon, notice } from "../dom.js";
import { currentLanguage, raw, t } from "../i18n.js";
import { answer, readInvitation } from "../invitation.js";
import { inIosTab } from "../platform.js";
import { persist } from "../store.js";
import { take } from "../vci.js";
import { busy, errorNotice, kindName, tell } from "./parts.js";

const FIELDS = {
  name: { key: "fieldName", type: "text", autocomplete: "name" },
  birth_date: { key: "fieldBirth", type: "date", autocomplete: "bday" },
  email: { key: "fieldEmail", type: "email", autocomplete: "email" },
};
const ARROWS = { front: "face", left: "left", right: "right", up: "up", down: "down" };
const WORDS = { none: "cameraNone", refused: "cameraRefused", busy: "cameraBusy" };

export async function invitation(app, parameters) {
  const { text, found, form, anyway } = parameters;
  if (inIosTab() && !anyway) {
    return {
      title: t("iosTitle"),
      main: [h("p.lead", t("iosText")), h("p", t("iosSteps"))],
      dock: button(t("iosAnyway"), () => void app.replace("invitation", { text, anyway: true }), { kind: "quiet" }),
    };
  }
  if (!found) return reading(app, text);
  if (form?.consent.biometric) return selfie(app, found, form);
  return asking(app, found);
}

function reading(app, text) {
  let gone = false;
  const read = async () => {
    try {
      const found = await readInvitation(text);
      if (!gone) await app.replace("invitation", { text, found, anyway: true });
    } catch (error) {
      const again = error?.detail?.retry ? () => void app.replace("invitation", { text, anyway: true }) : null;
      if (!gone) await app.replace("problem", { error, again });
    }
  };
  return { title: t("invited"), middle: true, main: busy(t("working")), shown: () => void read(), leave: () => (gone = true) };
}

function asking(app, found) {
  const trouble = h("div");
  const inputs = found.fields.map(({ name, required }) => {
    const { key, type, autocomplete } = FIELDS[name];
    const input = h("input", { id: `f-${name}`, type, autocomplete, required, maxlength: type === "date" ? null : 120, dir: "auto" });
    const label = required ? t(key) : t("fieldOptional", { field: t(key) });
    return { name, required, input, node: h("div.field", h("label", { for: `f-${name}` }, label), input) };
  });
  const check = (id, label, more) => {
    const input = h("input", { type: "checkbox", id });
    return { input, node: h("label.choice", input, h("span", h("b", label), more && h("span.more", more))) };
  };
  const agree = check("agree", t("consentGive"));
  const faces = found.face !== "none" && found.turns.length > 0;
  const face = faces && check("face", t("consentFace"), `${t("consentFaceMore")} ${found.face === "required" ? "" : t("consentFaceWhy")}`);
  const text = found.consent.text[currentLanguage()] ?? found.consent.text.en ?? Object.values(found.consent.text)[0] ?? "";
  const go = async () => {
    trouble.replaceChildren();
    const missing = inputs.find(({ required, input }) => !input.checkValidity() || (required && !input.value.trim()));
    for (const { input } of inputs) input.removeAttribute("aria-invalid");
    if (missing) {
      missing.input.setAttribute("aria-invalid", "true");
      missing.input.focus();
      tell(trouble, notice(t("fieldMissing"), { kind: "error" }));
      return;
    }
    if (!agree.input.checked) return void tell(trouble, notice(t("consentNeeded"), { kind: "error" }));
    if (found.face === "required" && !face.input.checked) {
      return void tell(trouble, notice(t("consentFaceNeeded"), { kind: "error" }));
    }
    const value = (name) => inputs.find((one) => one.name === name)?.input.value.trim() || undefined;
    const form = {
      name: value("name") ?? "",
      birthDate: value("birth_date"),
      email: value("email"),
      language: currentLanguage(),
      consent: { given: true, biometric: Boolean(face && face.input.checked) },
    };
    if (form.consent.biometric) return void app.go("invitation", { found, form, anyway: true });
    send.disabled = true;
    tell(trouble, ...busy(t("invitedSending")));
    await sent(app, found, form, (error) => {
      send.disabled = false;
      const field = FIELDS[error.detail?.field];
      if (field) inputs.find(({ name }) => name === error.detail.field)?.input.setAttribute("aria-invalid", "true");
      tell(trouble, failure(error));
    });
  };
  const send = button(t(faces ? "next" : "invitedSend"), () => void go(), { kind: "main" });
  return {
    title: t("invited"),
    main: [
      h("p.lead", fillIn(raw("invitedBy"), { place: h("b", bdi(String(found.place.name ?? found.host))) })),
      h("p.host", h("bdi", { dir: "ltr" }, found.host)),
      h("div.sheet", h("ul.rows", h("li", icon("ticket"), h("b", kindName(found.kind, []))))),
      inputs.map(({ node }) => node),
      h("section",
        h("h2.gap", t("consent")),
        h("div.sheet",
          h("p.consent", { dir: "auto" }, String(text)),
          agree.node,
          face && face.node)),
      trouble,
    ],
    dock: send,
  };
}

/** The sentence of an error, a field in it named as the form names it. */
function failure(error) {
  const field = FIELDS[error.detail?.field];
  return errorNotice(error, field ? { field: t(field.key) } : {});
}

async function sent(app, found, form, failed) {
  let record;
  try {
    record = await take(await answer(found, form));
  } catch (error) {
    failed(error);
    return;
  } finally {
    for (const picture of form.pictures ?? []) picture.fill(0);
  }
  await persist();
  await app.reset("home");
  await app.go("received", { id: record.id });
}

function selfie(app, found, form) {
  const { turns } = found;
  const pictures = [];
  const video = h("video", { playsinline: true, muted: true, "aria-label": t("selfie") });
  const turning = h("div.turn", { "aria-hidden": "true" });
  const view = h("div.view.self.oval", video, turning);
  const word = h("p.lead.center", { role: "status" });
  const steps = h("ol.steps", { "aria-hidden": "true" }, turns.map(() => h("li")));
  const trouble = h("div");
  let camera = null;
  let gone = false;

  const ask = () => {
    const turn = turns[pictures.length];
    const [text, count] = [t(`turn_${turn}`), t("selfieStep", { step: pictures.length + 1, of: turns.length })];
    word.replaceChildren(count, h("br"), text);
    turning.replaceChildren(icon(ARROWS[turn]), text);
    [...steps.children].forEach((li, index) => li.classList.toggle("done", index < pictures.length));
  };
  const forget = () => {
    for (const picture of pictures) picture.fill(0);
    pictures.length = 0;
  };
  const begin = async () => {
    trouble.replaceChildren();
    try {
      camera = await openCamera(video, { facing: "user" });
    } catch (error) {
      if (gone) return;
      view.hidden = taking.disabled = true;
      tell(trouble, notice(t(WORDS[error.code] ?? "cameraNone"), { kind: "warn" }));
      return;
    }
    if (gone) return camera.stop();
    view.hidden = taking.disabled = false;
    ask();
  };
  const shoot = async () => {
    taking.disabled = true;
    const blob = await snapshot(video);
    pictures.push(new Uint8Array(await blob.arrayBuffer()));
    if (gone) return forget();
    if (pictures.length < turns.length) {
      taking.disabled = false;
      return ask();
    }
    camera?.stop();
    [...steps.children].forEach((li) => li.classList.add("done"));
    view.hidden = true;
    word.textContent = "";
    tell(trouble, ...busy(t("invitedSending")));
    await sent(app, found, { ...form, pictures: [...pictures] }, (error) => {
      forget();
      tell(trouble, failure(error));
      retry.hidden = false;
    });
  };
  const taking = button(t("selfieTake"), () => void shoot(), { kind: "main", icon: "face", disabled: true });
  const anew = async () => {
    // The turns of a form count once: the desk is asked for others.
    retry.hidden = true;
    tell(trouble, ...busy(t("working")));
    try {
      const asked = await readInvitation(found.address);
      if (!gone) await app.replace("invitation", { found: asked, form, anyway: true });
    } catch (error) {
      tell(trouble, failure(error));
      retry.hidden = false;
    }
  };
  const retry = button(t("selfieAgain"), () => void anew(), { kind: "plain" });
  retry.hidden = true;
  const without = async () => {
    forget();
    camera?.stop();
    view.hidden = true;
    tell(trouble, ...busy(t("invitedSending")));
    const plain = { ...form, consent: { ...form.consent, biometric: false } };
    await sent(app, found, plain, (error) => tell(trouble, failure(error)));
  };
  return {
    title: t("selfie"),
    main: [h("p.lead", t("selfieText")), view, steps, word, trouble, retry],
    dock: [taking, found.face === "optional" && button(t("selfieSkip"), () => void without(), { kind: "quiet" })],
    shown: () => void begin(),
    leave() {
      gone = true;
      camera?.stop();
      forget();
    },
  };
}
