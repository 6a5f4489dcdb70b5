// @ts-check
/**
 * Tiles: the shapes and sizes of which one is chosen.
 */

import { tiles } from "./capabilities.js";
import { h } from "./dom.js";

/** The base that has a tile of that size, the chosen one first; else the nearest. */
export function baseOf(sizing, { width, height }, chosen) {
  const { bases } = sizing;
  const has = (base) => tiles(sizing, base).some((tile) => tile.width === width && tile.height === height);
  const order = bases.includes(chosen) ? [chosen, ...bases] : bases;
  const off = (base) => Math.abs(Math.log((base * base) / (width * height)));
  return order.find(has) ?? bases.reduce((best, next) => (off(next) < off(best) ? next : best));
}

/** Difference of two sizes' shapes. */
export const distance = (one, other) =>
  Math.abs(Math.log(one.width / one.height) - Math.log(other.width / other.height));

/** A shape to choose. */
export function tile({ name, detail, value, ratio, checked = false }) {
  const longest = 26;
  const [width, height] = ratio >= 1 ? [longest, longest / ratio] : [longest * ratio, longest];
  return h(
    "label",
    { class: "tile" },
    h("input", { type: "radio", name: "tile", value, checked }),
    h(
      "span",
      { class: "shape" },
      h("span", { style: { width: `${width.toFixed(1)}px`, height: `${height.toFixed(1)}px` } }),
    ),
    h("span", { class: "tile-name" }, name),
    detail && h("span", { class: "tile-detail" }, detail),
  );
}
