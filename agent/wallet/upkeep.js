/**
 * What is done in the background once the page is unlocked and has a network.
 *
 * Rules:
 * - the clock is compared, a reception that was cut off is finished, what the issuer is still to be
 *   told is told, and cards whose time is three quarters over are renewed;
 * - nothing of it is waited for, and what fails is tried at the next unlocking: a card that is near
 *   its end says so by itself.
 */

import { checkClock } from "./clock.js";
import { isLocked } from "./lock.js";
import { list } from "./store.js";
import { isDue, refresh, resume, tell } from "./vci.js";

let running = null;

/** Begin, unless it is running. */
export function upkeep() {
  running ??= work().finally(() => (running = null));
  return running;
}

async function work() {
  for (const step of [checkClock, resume, tell, renewDue]) {
    if (isLocked() || navigator.onLine === false) return;
    try {
      await step();
    } catch (error) {
      console.info(`put off: ${error?.code ?? error?.name}`);
    }
  }
}

async function renewDue() {
  for (const record of await list()) if (await isDue(record)) await refresh(record);
}
