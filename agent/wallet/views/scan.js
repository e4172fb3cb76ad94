/**
 * The camera, for everything that can be scanned; a link can be pasted and a picture chosen instead.
 */

import { openCamera, readCodes, readFile } from "../camera.js";
import { button, h, notice } from "../dom.js";
import { t } from "../i18n.js";
import { errorNotice } from "./parts.js";

const WORDS = { none: "cameraNone", refused: "cameraRefused", busy: "cameraBusy" };
const KEY = "idgate.camera";

export function scan(app, { card = null }) {
  const video = h("video", { playsinline: true, muted: true, "aria-label": t("scanText") });
  const frame = h("div.view.square", video);
  const trouble = h("div", { "aria-live": "polite" });
  const which = h("select", { id: "camera", onchange: () => void begin(which.value) });
  const choose = h("div.field", { hidden: true }, h("label", { for: "camera" }, t("scanChoose")), which);
  let camera = null;
  let stop = () => {};
  let gone = false;

  const take = async (text) => {
    try {
      await app.take({ text, card, instead: true });
      return true;
    } catch (error) {
      if (!gone) trouble.replaceChildren(errorNotice(error));
      return false;
    }
  };
  const end = () => {
    stop();
    camera?.stop();
    camera = null;
  };
  const begin = async (deviceId = localStorage.getItem(KEY) ?? undefined) => {
    end();
    trouble.replaceChildren();
    try {
      camera = await openCamera(video, { deviceId });
    } catch (error) {
      if (gone) return;
      if (deviceId && error.code === "none") {
        localStorage.removeItem(KEY); // that camera is no longer there
        return begin("");
      }
      frame.hidden = true;
      trouble.replaceChildren(notice(t(WORDS[error.code] ?? "cameraNone"), { kind: "warn" }));
      return;
    }
    if (gone) return end();
    frame.hidden = false;
    if (deviceId) localStorage.setItem(KEY, deviceId);
    choose.hidden = camera.cameras.length < 2;
    which.replaceChildren(...camera.cameras.map(({ id, label }) =>
      h("option", { value: id, selected: id === camera.id },
        /^\d+$/.test(label) ? t("scanCamera", { label }) : label)));
    stop = readCodes(video, (text) => {
      void take(text);
      return false; // what is none of ours is told, and reading goes on; a view that goes ends it
    });
  };
  const link = h("textarea", { id: "link", rows: "3", autocapitalize: "off", spellcheck: "false", dir: "ltr" });
  const file = h("input.heard-only", {
    type: "file", accept: "image/*", tabindex: "-1", "aria-hidden": "true",
    onchange: async () => {
      const [chosen] = file.files;
      file.value = "";
      if (!chosen) return;
      let text = null;
      try {
        text = await readFile(chosen);
      } catch (error) {
        console.info(`that is no picture: ${error.name}`);
      }
      if (text) await take(text);
      else trouble.replaceChildren(notice(t("scanNothing"), { kind: "warn" }));
    },
  });
  const hidden = () => document.visibilityState === "hidden" && end();
  document.addEventListener("visibilitychange", hidden);
  return {
    title: t(card ? "whereScan" : "scan"),
    main: [
      frame,
      h("p.lead.center", t(card ? "scanText" : "scanAnyMore")),
      trouble,
      choose,
      h("details.sheet",
        h("summary.row-button", t("scanPaste")),
        h("form.form.inside", { onsubmit: (event) => (event.preventDefault(), void take(link.value.trim())) },
          h("label", { for: "link" }, t("scanPasteLabel")),
          link,
          h("button.button.plain", { type: "submit" }, h("span", t("next"))))),
      file,
      button(t("scanFile"), () => file.click(), { kind: "quiet" }),
    ],
    shown: () => void begin(),
    leave() {
      gone = true;
      document.removeEventListener("visibilitychange", hidden);
      end();
    },
  };
}
