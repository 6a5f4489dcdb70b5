// @ts-check
/**
 * Checks of numbers that are typed: what isn't taken is told beside the field, and never becomes another number without
 * a word.
 */

import { setText } from "./dom.js";
import { t } from "./i18n.js";

/**
 * The number in a field: `undefined` where it is empty, `null` where it isn't taken, which `note` then says.
 * @param {HTMLInputElement} input
 * @param {HTMLElement} note
 * @param {{minimum?: number, maximum?: number, whole?: boolean}} range
 * @returns {number|null|undefined}
 */
export function numberIn(input, note, { minimum = -Infinity, maximum = Infinity, whole = false }) {
  if (input.value === "" && !input.validity.badInput) {
    accept(input, note);
    return undefined;
  }
  const value = Number(input.value);
  const fits = input.value !== "" && value >= minimum && value <= maximum && (!whole || Number.isInteger(value));
  if (fits) {
    accept(input, note);
    return value;
  }
  const bounded = Number.isFinite(minimum) && Number.isFinite(maximum);
  const words = bounded ? t(whole ? "number.whole" : "number.range", { minimum, maximum }) : t("number.any");
  input.setAttribute("aria-invalid", "true");
  note.classList.add("problem");
  setText(note, words);
  return null;
}

/** Takes back what was said of a field; says `words` instead. */
export function accept(input, note, words = "") {
  input.removeAttribute("aria-invalid");
  note.classList.remove("problem");
  setText(note, words);
}

/** The first field of a form whose number isn't taken, or null. */
export const wrong = (root) =>
  /** @type {HTMLInputElement|null} */ (
    [...root.querySelectorAll('input[aria-invalid="true"]')].find((input) => input.offsetParent) ?? null
  );
