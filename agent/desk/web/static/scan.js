// Finds a phone's code before the webcam: frames go to the desk's own scanner, the gates' one.

import { closeCamera, draw, jpeg, openCamera, wipe } from "./picture.js";

const byId = (id) => document.getElementById(id);
const [video, say, camera, code, form] = ["video", "say", "camera", "code", "code-form"].map(byId);
const startText = camera.textContent;
const hidden = document.createElement("canvas");
let live = false;

/** The middle of the picture, where a phone is held, as large as the sandbox takes. */
function middle() {
  const side = Math.min(video.videoWidth, video.videoHeight);
  const size = Math.min(1000, side);
  hidden.width = hidden.height = size;
  const context = hidden.getContext("2d");
  const [x, y] = [(video.videoWidth - side) / 2, (video.videoHeight - side) / 2];
  context.filter = "grayscale(1)";
  context.drawImage(video, x, y, side, side, 0, 0, size, size);
  return hidden;
}

async function read(canvas) {
  const answer = await fetch("/scan", {
    method: "POST",
    headers: { "content-type": "image/jpeg" },
    body: await jpeg(canvas),
  });
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error);
  return found.codes.find((text) => /^NI[12]:/.test(text));
}

async function watch() {
  let whole = false;
  while (live) {
    try {
      // In turn the middle in full detail, and the whole picture.
      const found = await read(whole ? draw(video, hidden, 1024) : middle());
      whole = !whole;
      if (found && live) {
        say.textContent = say.dataset.found;
        stop();
        code.value = found;
        form.requestSubmit();
        return;
      }
    } catch (error) {
      say.textContent = error.message;
    }
    await new Promise((done) => setTimeout(done, 120));
  }
}

async function start() {
  try {
    await openCamera(video, { width: { ideal: 1920 }, height: { ideal: 1080 } });
  } catch {
    say.textContent = say.dataset.denied;
    return;
  }
  video.hidden = false;
  byId("no-picture").hidden = true;
  live = true;
  say.textContent = say.dataset.looking;
  camera.textContent = camera.dataset.stop;
  watch();
}

function stop() {
  live = false;
  closeCamera(video);
  wipe(hidden);
  video.hidden = true;
  byId("no-picture").hidden = false;
  camera.textContent = startText;
}

byId("challenge").addEventListener("toggle", (event) => {
  if (event.target.open) byId("challenged").value = "yes";
});
camera.addEventListener("click", () => (live ? stop() : start()));
window.addEventListener("pagehide", stop);
