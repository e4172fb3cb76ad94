/*
 * The time by the wallet's own host: a gate takes codes from 5 s ahead to 30 s old.
 *
 * Exports: `checkClock`, `now`, `offset`, `TOLD_S`. Errors: none; an offset that cannot be found is
 * null.
 *
 * Rules:
 * - HEAD to a page of this origin, its `Date` (plus half of its one-second step) against the middle
 *   of asking and answer; an answer that took over 5 s tells nothing;
 * - the offset is kept for the next start without network, and corrects what is signed;
 * - above `TOLD_S` the person is told that the phone's clock is wrong;
 * - a clock that is set while the page is open cannot be told from a phone that slept: the interface
 *   compares anew when it is opened, unlocked, or back in the network.
 */

export const TOLD_S = 3;
const KEPT = "idgate.clock";
const SLOWEST_MS = 5_000;
const TIMEOUT_MS = 8_000;

/** What was found since the page was opened, in ms to be added to the phone's clock. */
let found = null;

/** Return that, or what was found before, or null. */
function correction() {
  const kept = Number(globalThis.localStorage?.getItem(KEPT) ?? Number.NaN);
  return found ?? (Number.isFinite(kept) ? kept : null);
}

/** Return `{seconds: number|null, told: boolean}`: how far the phone's clock is behind (+) the host. */
export function offset() {
  const milliseconds = correction();
  if (milliseconds === null) return { seconds: null, told: false };
  const seconds = milliseconds / 1000;
  return { seconds, told: Math.abs(seconds) > TOLD_S };
}

/** Return the corrected time in Unix seconds, whole. */
export const now = () => Math.floor((Date.now() + (correction() ?? 0)) / 1000);

/** Compare the clock with the host's; returns as `offset` does. */
export async function checkClock(address = "./") {
  const before = performance.now();
  const asked = Date.now();
  try {
    const response = await fetch(address, {
      method: "HEAD",
      cache: "no-store",
      credentials: "omit",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const took = performance.now() - before;
    const date = Date.parse(response.headers.get("Date") ?? "");
    const age = Number(response.headers.get("Age") ?? 0) * 1000;
    if (Number.isNaN(date) || !(age >= 0) || took > SLOWEST_MS) return offset();
    found = Math.round(date + age + 500 - (asked + took / 2));
    globalThis.localStorage?.setItem(KEPT, String(found));
  } catch (error) {
    // No network: what was kept serves on.
    if (!(error instanceof TypeError) && error?.name !== "TimeoutError") throw error;
  }
  return offset();
}
