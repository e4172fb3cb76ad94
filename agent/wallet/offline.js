/**
 * The page without a network: its service worker, and word of a newer version.
 *
 * Rules:
 * - the browser looks for a newer `sw.js` by itself; the page looks too when it comes to the front;
 * - a newer version is told and taken when the person says so, or by itself when the page is opened
 *   the next time: never in the middle of something.
 */

const POLICY = globalThis.trustedTypes?.createPolicy("idgate", {
  createScriptURL: (url) => {
    if (url !== "sw.js") throw new TypeError(`no script of ours: ${url}`);
    return url;
  },
});

/** @param {(update: () => void) => void} told a newer version waits; `update` has it used */
export function startOffline(told) {
  if (!navigator.serviceWorker) return;
  const had = Boolean(navigator.serviceWorker.controller);
  navigator.serviceWorker.addEventListener("controllerchange", () => {
    if (had) location.reload();
  });
  const url = POLICY?.createScriptURL("sw.js") ?? "sw.js";
  navigator.serviceWorker
    .register(url, { updateViaCache: "none" })
    .then((registration) => {
      const tell = (worker) => {
        if (worker && navigator.serviceWorker.controller) told(() => worker.postMessage("use"));
      };
      tell(registration.waiting);
      registration.addEventListener("updatefound", () => {
        const worker = registration.installing;
        worker.addEventListener("statechange", () => worker.state === "installed" && tell(worker));
      });
      document.addEventListener("visibilitychange", () => {
        if (document.visibilityState !== "visible") return;
        registration.update().catch((error) => console.info(`no newer version now: ${error.name}`));
      });
    })
    .catch((error) => console.info(`works with a network only: ${error.name}`));
}
