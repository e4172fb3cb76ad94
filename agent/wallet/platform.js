/**
 * What differs between phones: installing, and iPhones' separate stores.
 */

let prompt = null;
const hearers = new Set();

addEventListener("beforeinstallprompt", (event) => {
  event.preventDefault();
  prompt = event;
  for (const hear of hearers) hear();
});

/** An iPhone's browser tab: its store is not the installed page's, and is cleared after a week. */
export const inIosTab = () => navigator.standalone === false;

/** Whether the page runs from the home screen. */
export const installed = () =>
  navigator.standalone === true || matchMedia("(display-mode: standalone)").matches;

/** Whether the browser would install the page if asked now. */
export const installable = () => prompt !== null;

/** Ask the browser to install the page; one asks once. */
export async function install() {
  const asked = prompt;
  prompt = null;
  await asked?.prompt();
}

/** Call `hear` when the page becomes installable; returns how to stop. */
export function onInstallable(hear) {
  hearers.add(hear);
  return () => hearers.delete(hear);
}
