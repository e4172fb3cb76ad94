/**
 * The page without a network: every file of one version, kept when it is first visited.
 *
 * Rules:
 * - a version is whole or not there: files of two never mix, so that a page always fits its modules;
 * - what is kept is answered from here first; `issuers.json` is asked for first, as it changes
 *   without a version; everything else (an issuer's answers, HEAD for the clock) passes by;
 * - it takes no page over while an older version runs, unless that page says `use`;
 * - caches of others stay (`idgate-marker` says that there were cards).
 *
 * The lines between the marks are written by `python packaging/wallet.py`; a test says where that
 * was forgotten.
 */

// precache: begin
const VERSION = "89a7619f651b251e";
const FILES = [
  "app.js",
  "camera.js",
  "clock.js",
  "codec.js",
  "cose.js",
  "db.js",
  "disclosure.js",
  "dom.js",
  "draw.js",
  "errors.js",
  "http.js",
  "i18n.js",
  "icons/icon.svg",
  "invitation.js",
  "links.js",
  "lock.js",
  "manifest.webmanifest",
  "offline.js",
  "passkey.js",
  "places.js",
  "platform.js",
  "protocol.js",
  "store.js",
  "strings/en.js",
  "strings/es.js",
  "strings/zh.js",
  "style.css",
  "upkeep.js",
  "vci.js",
  "vendor/jsqr/jsQR.js",
  "vendor/lean-qr/lean-qr.js",
  "views/card.js",
  "views/code.js",
  "views/evicted.js",
  "views/home.js",
  "views/incoming.js",
  "views/invitation.js",
  "views/locked.js",
  "views/offer.js",
  "views/paper.js",
  "views/parts.js",
  "views/problem.js",
  "views/scan.js",
  "views/settings.js",
  "views/welcome.js",
  "wake.js",
];
// precache: end

const PREFIX = "idgate-page-";
const CACHE = PREFIX + VERSION;
const ISSUERS = "issuers.json";
/** Over a third of all bytes, and of use only where the browser reads no codes by itself. */
const READER = "vendor/jsqr/jsQR.js";

self.addEventListener("install", (event) => {
  event.waitUntil(keep());
});

self.addEventListener("activate", (event) => {
  event.waitUntil(dropOthers());
});

self.addEventListener("message", (event) => {
  if (event.data === "use") void self.skipWaiting();
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== self.location.origin) return;
  const name = url.pathname.slice(new URL("./", self.location).pathname.length);
  if (name === ISSUERS) event.respondWith(newest(request));
  else if (FILES.includes(name) || name === "" || name === "index.html") event.respondWith(kept(name));
});

async function keep() {
  const cache = await caches.open(CACHE);
  const formats = (await self.BarcodeDetector?.getSupportedFormats()) ?? [];
  const needed = FILES.filter((name) => name !== READER || !formats.includes("qr_code"));
  await cache.addAll(
    ["./", ...needed].map((name) => new Request(name, { cache: "no-cache", credentials: "omit" })),
  );
  try {
    await cache.add(new Request(ISSUERS, { cache: "no-cache", credentials: "omit" }));
  } catch (error) {
    console.info(`no list of issuers here yet: ${error.name}`);
  }
}

async function dropOthers() {
  for (const name of await caches.keys()) {
    if (name.startsWith(PREFIX) && name !== CACHE) await caches.delete(name);
  }
  await self.clients.claim();
}

async function kept(name) {
  const file = name === "" || name === "index.html" ? "./" : name;
  const cache = await caches.open(CACHE);
  return (await cache.match(new URL(file, self.location))) ?? fetch(file);
}

async function newest(request) {
  const cache = await caches.open(CACHE);
  try {
    const answer = await fetch(request, { cache: "no-cache" });
    if (!answer.ok) throw new TypeError(`HTTP ${answer.status}`);
    await cache.put(ISSUERS, answer.clone());
    return answer;
  } catch (error) {
    const old = await cache.match(ISSUERS);
    if (old) return old;
    throw error;
  }
}
