/**
 * The page: which view is on it, and when none of a card's may be.
 *
 * Rules:
 * - before the holder's own check, and after each lock, the document holds nothing of a card: the
 *   whole page is replaced, the stack of views is forgotten, and what views held is let go;
 * - an offer, an invitation or a place that came with the address is taken out of it at once (it is a
 *   secret, and histories are kept), waits in memory for the unlocking, and is then gone on with;
 * - a view is a function `(app, parameters) -> {title, main, top?, dock?, ...}`; it is made anew when
 *   it is come back to, and its `leave` is called when it goes;
 * - the browser's own "back" goes back one view; what was spent (an offer taken) is no view to go
 *   back to;
 * - when a view changes, its heading has the focus and the document's title is its own; nothing else
 *   moves the focus.
 */

import { add, button, fill, h, icon } from "./dom.js";
import { loadLanguage, t } from "./i18n.js";
import * as lock from "./lock.js";
import { startOffline } from "./offline.js";
import * as store from "./store.js";
import { upkeep } from "./upkeep.js";
import { card } from "./views/card.js";
import { code } from "./views/code.js";
import { evicted } from "./views/evicted.js";
import { home } from "./views/home.js";
import { incoming, readFragment } from "./views/incoming.js";
import { invitation } from "./views/invitation.js";
import { locked } from "./views/locked.js";
import { offer, received } from "./views/offer.js";
import { paper } from "./views/paper.js";
import { problem } from "./views/problem.js";
import { scan } from "./views/scan.js";
import { settings } from "./views/settings.js";
import { welcome } from "./views/welcome.js";

const VIEWS = {
  card, code, evicted, home, invitation, locked, offer, paper, problem, received,
  scan, settings, welcome,
};
const LARGE = "idgate.large";
const WAITS = new Set(["offer", "invitation"]);

const page = document.getElementById("page");
const said = document.getElementById("said");
let stack = [];
let shown = null;
let turn = 0;
let banner = null;

/** What a view may do to the page. */
const app = {
  /** What the address brought, until it is gone on with: `{text}` or null. */
  pending: null,

  /** The place that was scanned since the unlocking, its challenge with it. */
  place: null,

  /** Show a view on top of the one that is there. */
  go(name, parameters = {}) {
    stack.push({ name, parameters });
    history.pushState({ depth: stack.length }, "");
    return show();
  },

  /** Show a view in the place of the one that is there. */
  replace(name, parameters = {}) {
    stack[Math.max(0, stack.length - 1)] = { name, parameters };
    return show();
  },

  /** Show a view below which there is nothing. */
  reset(name, parameters = {}) {
    stack = [{ name, parameters }];
    history.replaceState({ depth: 1 }, "");
    return show();
  },

  back() {
    if (stack.length > 1) history.back();
    else void app.reset("home");
  },

  /** Make the view that is there anew, for what changed under it. */
  again: () => show({ quiet: true }),

  /** Have a screen reader say something. */
  say(text) {
    said.textContent = "";
    requestAnimationFrame(() => (said.textContent = text));
  },

  /** Go on with what was read by the camera, pasted, or came with the address. */
  take: (what) => incoming(app, what),

  /** The first view: by what there is and whether it is locked. */
  async start() {
    const [{ kind, lost }, { method }] = [await store.condition(), await lock.state()];
    if (kind === "evicted") return app.reset("evicted", { lost });
    if (method === null) return app.reset("welcome");
    if (lock.isLocked()) return app.reset("locked");
    return app.enter();
  },

  /** After the check: what waited, on top of the cards. */
  async enter() {
    await app.reset("home");
    const waiting = app.pending;
    app.pending = null;
    if (waiting) {
      try {
        await app.take(waiting);
      } catch (error) {
        await app.go("problem", { error });
      }
    }
    void upkeep();
  },

  /** Large type or not. */
  large(on) {
    if (on !== undefined) localStorage.setItem(LARGE, on ? "1" : "");
    const is = localStorage.getItem(LARGE) === "1";
    document.documentElement.classList.toggle("large", is);
    return is;
  },
};

async function show({ quiet = false } = {}) {
  const mine = ++turn;
  const { name, parameters } = stack.at(-1);
  let view;
  try {
    view = await VIEWS[name](app, parameters);
  } catch (error) {
    if (mine !== turn) return;
    if (error?.code === "locked") return void app.start();
    view = problem(app, { error });
  }
  if (mine !== turn) {
    view.leave?.();
    return;
  }
  leave();
  shown = view;
  const root = document.documentElement;
  root.classList.toggle("white", Boolean(view.white));
  const heading = h("h1", { tabindex: "-1", class: view.hidden ? "heard-only" : null }, view.title);
  const main = h(`main${view.middle ? ".middle" : ""}${view.white ? ".code" : ""}`);
  const text = view.heading === "own" ? [] : [heading];
  add(main, [view.above, text, view.main]);
  fill(page, head(view), main, view.dock && h(`div.dock${view.row ? ".row" : ""}`, view.dock));
  if (banner) main.prepend(banner());
  document.title = heading.textContent === t("app") ? t("app") : `${heading.textContent} · ${t("app")}`;
  if (!quiet) {
    scrollTo(0, 0);
    heading.focus({ preventScroll: true });
  }
  view.shown?.();
}

function head(view) {
  const backwards =
    stack.length > 1 && view.back !== false
      ? h("button.round", { type: "button", "aria-label": t("back"), onclick: app.back }, icon("back"))
      : null;
  return h("header.top", backwards, h("span.space"), view.top);
}

function leave() {
  const was = shown;
  shown = null;
  was?.leave?.();
}

/** Nothing of a card stays in the document. */
function close() {
  const open = stack.at(-1);
  leave();
  turn += 1;
  // Who looks up the desk's digits in another app comes back to the offer, not to nothing.
  if (WAITS.has(open?.name) && open.parameters.text) app.pending = { text: open.parameters.text };
  stack = [];
  app.place = null;
  fill(page);
  said.textContent = "";
  document.title = t("app");
  void app.start();
}

addEventListener("popstate", (event) => {
  const depth = event.state?.depth ?? 1;
  if (lock.isLocked() || depth >= stack.length) return;
  stack.length = depth;
  void show();
});

addEventListener("hashchange", () => {
  if (!takeFragment()) return;
  if (lock.isLocked()) void app.start();
  else void app.enter();
});

function takeFragment() {
  const found = readFragment(location.hash);
  if (location.hash) history.replaceState(history.state, "", location.pathname + location.search);
  if (found) app.pending = found;
  return found !== null;
}

await loadLanguage();
app.large();
takeFragment();
lock.onLock(close);
lock.watch();
startOffline((update) => {
  banner = () =>
    h("div.banner", h("span", t("update")), button(t("updateNow"), update, { kind: "quiet" }));
  if (shown && !shown.white) void app.again();
});
await app.start();
performance.mark("idgate-ready");
