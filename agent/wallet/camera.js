/**
 * The phone's camera: opened, closed, and a code read from it.
 *
 * Rules:
 * - a camera that was opened is closed when its view goes or the page is hidden;
 * - the browser's own reader where there is one (`BarcodeDetector`), else jsQR, fetched then only;
 * - a picture never leaves this module unless `snapshot` is asked for one.
 */

const READ_EVERY_MS = 120;
const READ_SIDE = 720;

/** Why there is no picture: `none`, `refused` or `busy`. */
export class CameraError extends Error {
  constructor(code) {
    super(code);
    this.code = code;
  }
}

const CODES = { NotAllowedError: "refused", SecurityError: "refused", NotReadableError: "busy", AbortError: "busy" };

/**
 * Open a camera and show it.
 *
 * @param {HTMLVideoElement} video has `playsinline` and `muted`
 * @param {{facing?: "environment"|"user", deviceId?: string}} [which]
 * @returns {Promise<{cameras: {id: string, label: string}[], id: string, stop: () => void}>}
 * @throws {CameraError}
 */
export async function openCamera(video, { facing = "environment", deviceId } = {}) {
  if (!navigator.mediaDevices?.getUserMedia) throw new CameraError("none");
  const which = deviceId ? { deviceId: { exact: deviceId } } : { facingMode: facing };
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      audio: false,
      video: { ...which, width: { ideal: 1280 }, height: { ideal: 720 } },
    });
  } catch (error) {
    throw new CameraError(CODES[error.name] ?? "none");
  }
  const stop = () => {
    for (const track of stream.getTracks()) track.stop();
    if (video.srcObject === stream) video.srcObject = null;
  };
  video.srcObject = stream;
  try {
    await video.play();
  } catch (error) {
    // The view went while the camera started: nothing is shown any more.
    stop();
    throw new CameraError(error.name === "AbortError" ? "busy" : "none");
  }
  const devices = await navigator.mediaDevices.enumerateDevices();
  const cameras = devices
    .filter((one) => one.kind === "videoinput")
    .map((one, index) => ({ id: one.deviceId, label: one.label || String(index + 1) }));
  return { cameras, id: stream.getVideoTracks()[0].getSettings().deviceId ?? "", stop };
}

/**
 * Read codes until one is taken.
 *
 * @param {HTMLVideoElement} video a camera's picture
 * @param {(text: string) => boolean} take true ends the reading
 * @returns {() => void} ends it; may be called twice
 */
export function readCodes(video, take) {
  let going = true;
  let last = "";
  const step = async () => {
    const read = await reader();
    while (going) {
      const text = video.readyState >= 2 && video.videoWidth ? await read(video) : null;
      if (going && text && text !== last) {
        last = text;
        if (take(text)) going = false;
      }
      await new Promise((done) => setTimeout(done, READ_EVERY_MS));
    }
  };
  step().catch((error) => console.error(error));
  return () => {
    going = false;
  };
}

/** The text of the code in a picture file, or null; for a person whose camera does not open. */
export async function readFile(file) {
  const bitmap = await createImageBitmap(file);
  try {
    return await (await reader())(bitmap);
  } finally {
    bitmap.close();
  }
}

/**
 * A JPEG of the camera's picture now, its longer side at most `side` pixels.
 *
 * @returns {Promise<Blob>}
 */
export function snapshot(video, side = 960) {
  const canvas = painted(video, side);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.88)).finally(() => {
    // Overwritten, so that the picture does not wait for the collector.
    canvas.width = canvas.height = 1;
  });
}

async function reader() {
  const formats = (await globalThis.BarcodeDetector?.getSupportedFormats?.()) ?? [];
  if (formats.includes("qr_code")) {
    const detector = new BarcodeDetector({ formats: ["qr_code"] });
    return async (source) => (await detector.detect(source))[0]?.rawValue || null;
  }
  await import("./vendor/jsqr/jsQR.js"); // an older module: it lays itself into the window
  return async (source) => {
    const canvas = painted(source, READ_SIDE);
    const { width, height } = canvas;
    const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
    return globalThis.jsQR(data, width, height, { inversionAttempts: "dontInvert" })?.data || null;
  };
}

const canvases = new Map();

function painted(source, side) {
  const width = source.videoWidth ?? source.width;
  const height = source.videoHeight ?? source.height;
  const scale = Math.min(1, side / Math.max(width, height));
  if (!canvases.has(side)) canvases.set(side, document.createElement("canvas"));
  const canvas = canvases.get(side);
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  canvas.getContext("2d", { willReadFrequently: true }).drawImage(source, 0, 0, canvas.width, canvas.height);
  return canvas;
}
