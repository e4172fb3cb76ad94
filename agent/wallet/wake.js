/**
 * Keep the screen awake while a code is on it.
 *
 * The browser takes the lock away when the page is hidden, so it is asked for again when the page
 * is back. A phone that has no such lock, or refuses it (low battery), goes dark by its own rule:
 * that is no error, only less comfort.
 */

/** @returns {() => void} lets the screen sleep again; may be called twice */
export function stayAwake() {
  let sentinel = null;
  let wanted = true;
  const ask = async () => {
    if (!wanted || document.visibilityState !== "visible") return;
    try {
      sentinel = await navigator.wakeLock.request("screen");
    } catch (error) {
      console.info(`the screen may go dark: ${error.name}`);
    }
    if (!wanted) await sentinel?.release();
  };
  const again = () => void ask();
  if ("wakeLock" in navigator) {
    document.addEventListener("visibilitychange", again);
    void ask();
  }
  return () => {
    wanted = false;
    document.removeEventListener("visibilitychange", again);
    void sentinel?.release();
  };
}
