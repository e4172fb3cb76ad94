// A face by webcam or file, a finger by the module: nothing begins before the consent is ticked.

import { base64, closeCamera, draw, jpeg, openCamera, wipe } from "./picture.js";

const part = document.getElementById("capture");
const words = document.getElementById("capture-words").dataset;
const byId = (id) => document.getElementById(id);
const [consent, video, still, say] = ["consent", "video", "still", "face-say"].map(byId);
const [camera, take, file] = ["camera", "take", "file"].map(byId);
const startText = camera.textContent;
const hidden = document.createElement("canvas");
let live = false;
let taking = false;
let good = [];

function tell(node, text, kind) {
  if (node.textContent !== text) node.textContent = text;
  node.classList.toggle("warn", kind === "warn");
  node.classList.toggle("good", kind === "good");
}

function mark(what) {
  const held = byId(`held-${what}`);
  held.hidden = false;
  held.classList.add("good");
  byId("held-none").hidden = true;
}

async function send(path, body, type) {
  const answer = await fetch(path, { method: "POST", headers: { "content-type": type }, body });
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error);
  return found;
}

const sendJson = (path, body) => send(path, JSON.stringify(body), "application/json");

// An answer that comes after the camera was stopped, or while the face is taken, says nothing any more.
async function look(canvas, wanted = () => true) {
  const blob = await jpeg(canvas);
  const found = await send("/look", blob, "image/jpeg");
  if (!wanted()) return false;
  tell(say, found.line, found.good ? "good" : "");
  good = found.good ? [...good.slice(-2), blob] : [];
  take.disabled = good.length === 0;
  return found.good;
}

async function watch() {
  const watching = () => live && !taking;
  while (live) {
    try {
      if (watching()) await look(draw(video, hidden, 640), watching);
    } catch (error) {
      if (watching()) tell(say, error.message, "warn");
    }
    await new Promise((done) => setTimeout(done, 250));
  }
}

async function start() {
  still.hidden = true;
  byId("no-picture").hidden = true;
  try {
    await openCamera(video, { width: { ideal: 1280 }, height: { ideal: 720 }, facingMode: "user" });
  } catch {
    byId("no-picture").hidden = false;
    tell(say, words.denied, "warn");
    return;
  }
  video.hidden = false;
  live = true;
  camera.textContent = camera.dataset.stop;
  watch();
}

function stop() {
  live = false;
  closeCamera(video);
  video.hidden = true;
  byId("no-picture").hidden = still.hidden ? false : true;
  camera.textContent = startText;
}

async function keep() {
  take.disabled = true;
  taking = true;
  const pictures = await Promise.all(good.map(base64));
  try {
    const found = await sendJson(`/members/${part.dataset.member}/face`, {
      consent: consent.checked,
      pictures,
    });
    tell(say, found.line, "good");
    mark("face");
  } catch (error) {
    tell(say, error.message, "warn");
  }
  stop();
  forget();
  taking = false;
}

function forget() {
  good = [];
  wipe(hidden);
  wipe(still);
  still.hidden = true;
}

async function fromFile() {
  const [chosen] = file.files;
  if (!chosen) return;
  stop();
  tell(say, words.wait, "");
  try {
    const image = await createImageBitmap(chosen);
    draw(image, still, 1024);
    image.close();
    still.hidden = false;
    byId("no-picture").hidden = true;
    await look(still);
  } catch (error) {
    tell(say, error instanceof DOMException ? words.badFile : error.message, "warn");
  }
  file.value = "";
}

const finger = byId("finger");

async function takeFinger() {
  const line = byId("finger-say");
  const path = `/members/${part.dataset.member}/finger`;
  finger.disabled = true;
  try {
    let step = await sendJson(path, {
      consent: consent.checked,
      position: Number(byId("position").value),
    });
    while (!step.over) {
      tell(line, step.line, "");
      await new Promise((done) => setTimeout(done, 400));
      const answer = await fetch(path);
      step = await answer.json();
      if (!answer.ok) throw new Error(step.error);
    }
    tell(line, step.line, step.good ? "good" : "warn");
    if (step.good) mark("finger");
  } catch (error) {
    tell(line, error.message, "warn");
  }
  finger.disabled = !consent.checked;
}

function agree() {
  for (const each of [camera, file, finger]) if (each) each.disabled = !consent.checked;
  if (!consent.checked) {
    stop();
    forget();
    take.disabled = true;
  }
}

consent.addEventListener("change", agree);
camera.addEventListener("click", () => (live ? stop() : start()));
take.addEventListener("click", keep);
file.addEventListener("change", fromFile);
finger?.addEventListener("click", takeFinger);
window.addEventListener("pagehide", () => {
  stop();
  forget();
});
agree();
