// Pictures for the desk: scaled down and made JPEG here, so that no file of a person leaves the
// browser as it was, and what is sent fits the sandbox: 64 KiB, 1,024 pixels a side.

const MOST_BYTES = 64 * 1024;

/** Draw a video or image into a canvas, its longer side at most `side` pixels. */
export function draw(source, canvas, side) {
  const width = source.videoWidth || source.naturalWidth || source.width;
  const height = source.videoHeight || source.naturalHeight || source.height;
  const scale = Math.min(1, side / Math.max(width, height));
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  canvas.getContext("2d").drawImage(source, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/** The canvas as JPEG that fits. */
export async function jpeg(canvas) {
  for (const quality of [0.9, 0.8, 0.65, 0.5, 0.35]) {
    const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", quality));
    if (blob && blob.size <= MOST_BYTES) return blob;
  }
  throw new Error("the picture does not become small enough");
}

/** Overwrite and free a canvas. */
export function wipe(canvas) {
  const context = canvas.getContext("2d");
  context.fillStyle = "#000";
  context.fillRect(0, 0, canvas.width, canvas.height);
  canvas.width = canvas.height = 1;
}

export async function base64(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) {
    text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  }
  return btoa(text);
}

export async function openCamera(video, wanted) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: false, video: wanted });
  video.srcObject = stream;
  await video.play();
  return stream;
}

export function closeCamera(video) {
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  video.srcObject = null;
}
