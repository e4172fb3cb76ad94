/**
 * A code on the screen.
 *
 * Rules, each from measurements:
 * - error correction L: a code of the same text has larger modules and is read from farther away
 *   (where the size leaves room for more correction, it has it for nothing);
 * - a module is a whole number of the screen's own pixels, as large as the width allows; the canvas
 *   is a whole number of both kinds, or the browser would stretch it by a pixel, and some modules;
 * - black on white with 4 modules of white around it, also where the page is dark;
 * - never mirrored, whatever the direction of the text.
 */

import { correction, generate, mode } from "./vendor/lean-qr/lean-qr.js";

const QUIET = 4;

/** No symbol holds the text; the largest takes 4,296 characters. */
export class TooLarge extends Error {}

/**
 * Draw the text onto a canvas and size it.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {string} text capitals, digits and `$%*+-./: `, as a code of base45 is
 * @param {number} width CSS pixels that are free, quiet zone included
 * @param {number} [ratio] the screen's pixels to one of CSS
 * @returns {{modules: number, scale: number}} modules a side without the quiet zone; the screen's
 *     pixels a module
 * @throws {TooLarge}
 */
export function draw(canvas, text, width, ratio = window.devicePixelRatio || 1) {
  const code = encode(text);
  const modules = code.size + 2 * QUIET;
  const box = whole(width, ratio);
  const scale = Math.max(1, Math.floor((box * ratio) / modules));
  const side = Math.max(modules * scale, Math.round(box * ratio));
  canvas.width = side;
  canvas.height = side;
  canvas.style.setProperty("width", `${box}px`);
  canvas.style.setProperty("height", `${box}px`);
  const context = canvas.getContext("2d", { alpha: false });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, side, side);
  context.fillStyle = "#000";
  const edge = Math.floor((side - code.size * scale) / 2);
  for (let y = 0; y < code.size; y++) {
    for (let x = 0; x < code.size; ) {
      let run = 0;
      while (x + run < code.size && code.get(x + run, y)) run++;
      if (run) context.fillRect(edge + x * scale, edge + y * scale, run * scale, scale);
      x += run || 1;
    }
  }
  return { modules: code.size, scale };
}

/** The largest side of so many CSS pixels that is a whole number of the screen's own, too. */
function whole(width, ratio) {
  const most = Math.floor(width);
  for (let side = most; side > most - 16 && side > 0; side--) {
    if (Math.abs(side * ratio - Math.round(side * ratio)) < 0.01) return side;
  }
  return most;
}

/**
 * The modules of a text.
 *
 * @returns {{size: number, get: (x: number, y: number) => boolean}}
 * @throws {TooLarge}
 */
export function encode(text) {
  const alphanumeric = /^[0-9A-Z $%*+\-./:]*$/.test(text);
  const body = alphanumeric ? mode.alphaNumeric(text) : text;
  try {
    return generate(body, { minCorrectionLevel: correction.L });
  } catch (error) {
    if (error.code === 4) throw new TooLarge(text.length);
    throw error;
  }
}
