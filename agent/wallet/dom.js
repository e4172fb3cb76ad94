/**
 * Elements, made of properties and texts: the only way by which this page makes its content.
 *
 * Rules:
 * - what comes from elsewhere (an issuer's name, an error) becomes a text node, never markup; the
 *   page's policy refuses `innerHTML` besides;
 * - styles are classes; the few that depend on data (an issuer's colour) are custom properties;
 * - a control is a real button, link or field, so that keyboard and screen reader know it.
 */

/**
 * Make an element.
 *
 * @param {string} name tag, with classes after dots: `p.note.quiet`
 * @param {object} [properties] `on*` are listeners, `data` and `style` are objects (`style` of
 *     custom properties), null and false leave an attribute out, true sets an empty one
 * @param {...(Node|string|null|false|Array)} children
 * @returns {HTMLElement}
 */
export function h(name, properties, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag || "div");
  if (classes.length) element.className = classes.join(" ");
  if (properties instanceof Node || typeof properties !== "object" || Array.isArray(properties)) {
    children.unshift(properties);
    properties = null;
  }
  for (const [key, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "style") for (const [n, v] of Object.entries(value)) element.style.setProperty(n, v);
    else if (key === "data") Object.assign(element.dataset, value);
    else if (key === "value" || key === "checked" || key === "srcObject") element[key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  add(element, children);
  return element;
}

/** Append children, lists of them included; null and false are nothing. */
export function add(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false || child === "") continue;
    element.append(child);
  }
}

/** Put children in the place of all that an element has. */
export function fill(element, ...children) {
  element.replaceChildren();
  add(element, children);
}

/** A name that was made elsewhere: its direction is its own and does not turn what stands beside. */
export const bdi = (text, lang) => h("bdi", { lang: lang ?? null }, String(text));

/**
 * A text with the names put in: `fillIn("from {issuer}", {issuer: node})`.
 *
 * @returns {Array<string|Node>} for `h`
 */
export function fillIn(text, names) {
  return text.split(/\{(\w+)\}/).map((part, index) => (index % 2 ? (names[part] ?? "") : part));
}

const SVG = "http://www.w3.org/2000/svg";

const SHAPES = {
  back: "M15 5l-7 7 7 7",
  close: "M6 6l12 12M18 6L6 18",
  scan: "M4 8V5a1 1 0 0 1 1-1h3M16 4h3a1 1 0 0 1 1 1v3M20 16v3a1 1 0 0 1-1 1h-3M8 20H5a1 1 0 0 1-1-1v-3M4 12h16",
  gear: "M4 7h9M17 7h3M15 5v4M4 17h3M11 17h9M9 15v4M4 12h5M13 12h7M11 10v4",
  lock: "M7 11V8a5 5 0 0 1 10 0v3M6 11h12a1 1 0 0 1 1 1v7a1 1 0 0 1-1 1H6a1 1 0 0 1-1-1v-7a1 1 0 0 1 1-1zM12 15v2",
  place: "M12 21s7-6 7-11a7 7 0 1 0-14 0c0 5 7 11 7 11zM12 12.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5z",
  check: "M5 12.5l4.5 4.5L19 7.5",
  warn: "M12 4l9 16H3L12 4zM12 10v4.5M12 17.2v.3",
  finger: "M12 11v3c0 2-.5 4-1.5 6M8.5 19c.7-1.5 1-3.2 1-5v-2.5a2.5 2.5 0 0 1 5 0V14c0 1.7-.2 3.3-.7 5M6 16.5c.4-1 .5-2 .5-3.5v-1.5a5.5 5.5 0 0 1 11 0v2c0 1-.1 2-.2 3M5 8a8 8 0 0 1 14 0",
  face: "M4 8V5a1 1 0 0 1 1-1h3M16 4h3a1 1 0 0 1 1 1v3M20 16v3a1 1 0 0 1-1 1h-3M8 20H5a1 1 0 0 1-1-1v-3M9 9v1.5M15 9v1.5M9 15c1.8 1.5 4.2 1.5 6 0",
  print: "M7 9V4h10v5M7 17H5a1 1 0 0 1-1-1v-6a1 1 0 0 1 1-1h14a1 1 0 0 1 1 1v6a1 1 0 0 1-1 1h-2M7 14h10v6H7z",
  clock: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 7v5l3.5 2",
  ticket: "M4 7h16v3.5a1.5 1.5 0 0 0 0 3V17H4v-3.5a1.5 1.5 0 0 0 0-3zM14.5 7v2M14.5 11v2M14.5 15v2",
  left: "M19 12H5M11 6l-6 6 6 6",
  right: "M5 12h14M13 6l6 6-6 6",
  up: "M12 19V5M6 11l6-6 6 6",
  down: "M12 5v14M6 13l6 6 6-6",
};

/** A drawing beside a word; screen readers pass over it. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", `icon icon-${name}`);
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", SHAPES[name]);
  svg.append(path);
  return svg;
}

/**
 * A button with a word, and a drawing where one helps.
 *
 * @param {string} text
 * @param {(event: Event) => void} act
 * @param {{kind?: string, icon?: string, disabled?: boolean, id?: string}} [options] kind: `main`
 *     (one a screen), `plain`, `quiet`, `danger`
 */
export function button(text, act, { kind = "plain", icon: shape, disabled, id, label } = {}) {
  return h(
    `button.button.${kind}`,
    { type: "button", onclick: act, disabled, id, "aria-label": label },
    shape && icon(shape),
    h("span", text),
  );
}

/** A paragraph that says something went wrong or matters; read out when it appears. */
export function notice(text, { kind = "info", icon: shape } = {}) {
  const urgent = kind === "error";
  return h(
    `div.notice.${kind}`,
    { role: urgent ? "alert" : "note" },
    icon(shape ?? (kind === "info" ? "check" : "warn")),
    h("p", text),
  );
}
