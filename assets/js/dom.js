// @ts-check
/**
 * Making elements. Everything on the page that isn't in index.html comes from here, and text only ever becomes text:
 * what a server, a Space or a picture says can't become markup.
 */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Types of the elements in index.html that are more than an `HTMLElement`, by id.
 * @typedef {Record<"connection" | "open-help" | "language" | "theme" | "add-input" | "draw-mask" | "drop-mask" |
 *   "open-prompts" | "swap" | "dice" | "lock" | "fewer" | "more" | "read-settings" | "choose" | "choose-all" |
 *   "export" | "delete-chosen" | "older" | "refresh-spaces" | "log-clear" | "key-close" | "forget-key" | "key-save" |
 *   "prompts-close" | "save-template" | "viewer-previous" | "viewer-next" | "zoom-out" | "zoom-fit" | "zoom-in" |
 *   "viewer-close" | "help-close", HTMLButtonElement>} ButtonIds
 * @typedef {Record<"composer" | "key-form", HTMLFormElement>} FormIds
 * @typedef {Record<"model" | "format", HTMLSelectElement>} SelectIds
 * @typedef {Record<"input-file" | "width" | "height" | "seed" | "count" | "background" | "read-file" | "search" |
 *   "log-all" | "key" | "kind-templates" | "prompt-search" | "mask-paint" | "mask-size" | "compare-range",
 *   HTMLInputElement>} InputIds
 * @typedef {Record<"prompt" | "negative", HTMLTextAreaElement>} TextAreaIds
 * @typedef {Record<"own-section", HTMLDetailsElement>} DetailsIds
 * @typedef {Record<"key-dialog" | "prompts" | "mask-dialog" | "viewer" | "help", HTMLDialogElement>} DialogIds
 * @typedef {Record<"mask-canvas", HTMLCanvasElement>} CanvasIds
 * @typedef {Record<"viewer-image" | "before-image", HTMLImageElement>} ImageIds
 * @typedef {ButtonIds & FormIds & SelectIds & InputIds & TextAreaIds & DetailsIds & DialogIds & CanvasIds & ImageIds}
 *   Elements
 */

/**
 * The element of that id.
 * @template {string} Id
 * @param {Id} id
 * @returns {Id extends keyof Elements ? Elements[Id] : HTMLElement}
 */
export const byId = (id) => /** @type {any} */ (document.getElementById(id));

/**
 * The field that an event comes from.
 * @param {Event} event
 */
export const fieldOf = (event) => /** @type {HTMLInputElement} */ (event.target);

/**
 * The element that an event comes from.
 * @param {Event} event
 */
export const elementOf = (event) => /** @type {HTMLElement} */ (event.target);

/**
 * The element that has the focus.
 * @returns {HTMLElement|null}
 */
export const active = () => /** @type {any} */ (document.activeElement);

/**
 * All elements of a selector.
 * @param {string} selector
 * @param {ParentNode} [root]
 * @returns {HTMLElement[]}
 */
export const allOf = (selector, root = document) => [.../** @type {any} */ (root.querySelectorAll(selector))];

/**
 * An element. Properties: `class`, `data` (an object), `on` (listeners by name), `style` (custom properties and styles,
 * set one by one, as the policy allows no style attribute); `true` sets an empty attribute, `false`, `null` and
 * `undefined` none.
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {object} [properties]
 * @param {...(Node|string|number|null|false|undefined|Array)} children
 * @returns {HTMLElementTagNameMap[Name]}
 */
export function h(name, properties, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (key === "data") {
      Object.assign(element.dataset, value);
    } else if (key === "style") {
      for (const [style, text] of Object.entries(value)) element.style.setProperty(style, text);
    } else if (key === "value" || key === "checked" || key === "disabled" || key === "selected") {
      element[key] = value;
    } else {
      element.setAttribute(key, value === true ? "" : String(value));
    }
  }
  append(element, children);
  return element;
}

/** Appends children, however nested; what is nothing is left out. */
export function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
}

/** Puts `children` in place of all there are. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** Sets text, where it is another one: screen readers announce every change. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** An SVG element. */
export function svg(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes ?? {})) element.setAttribute(key, String(value));
  append(element, children);
  return element;
}

/** One of the pictograms in index.html. It says nothing to a screen reader: the control around it has a name. */
export function icon(name) {
  return svg("svg", { class: "icon", "aria-hidden": "true", focusable: "false" }, svg("use", { href: `#i-${name}` }));
}

/** A button that shows a pictogram and is called `label`. */
export function iconButton(name, label, onclick, properties = {}) {
  const { class: extra = "", ...rest } = properties;
  return h(
    "button",
    {
      type: "button",
      class: `quiet ${extra}`.trim(),
      "aria-label": label,
      title: label,
      on: { click: onclick },
      ...rest,
    },
    icon(name),
  );
}

/** A button with a pictogram and words. */
export function textButton(name, label, onclick, properties = {}) {
  const { class: extra = "", ...rest } = properties;
  return h(
    "button",
    { type: "button", class: `plain ${extra}`.trim(), on: { click: onclick }, ...rest },
    name && icon(name),
    h("span", {}, label),
  );
}

/** Something that others listen to. */
export class Emitter {
  #listeners = new Set();

  /** Calls `listener` at every `emit`, until the returned function is called. */
  on(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  emit(...values) {
    for (const listener of this.#listeners) listener(...values);
  }
}

/** Time in which what was done can be undone, in milliseconds. */
export const UNDO = 8000;

let announced;
/** Announces a text to a screen reader, politely. */
export function announce(text) {
  const region = byId("live");
  region.textContent = "";
  clearTimeout(announced);
  announced = setTimeout(() => (region.textContent = text), 60);
}

/**
 * A short message at the page's edge, which goes by itself.
 * @param {string} text
 * @param {{failed?: boolean, action?: {label: string, run: () => void}}} [options]
 */
export function toast(text, { failed = false, action } = {}) {
  const close = () => item.remove();
  const item = h("div", { class: failed ? "toast failed" : "toast" }, h("span", {}, text));
  if (action) {
    item.append(
      textButton(null, action.label, () => {
        close();
        action.run();
      }),
    );
  }
  // What is outside an open dialog is behind it.
  const region = byId("toasts");
  const host = allOf("dialog[open]").at(-1) ?? document.body;
  if (region.parentNode !== host) host.append(region);
  region.append(item);
  setTimeout(close, action ? UNDO : failed ? 9000 : 4500);
}

/** Opens a dialog so that a click beside it closes it. */
export function openDialog(dialog) {
  if (!dialog.dataset.ready) {
    dialog.dataset.ready = "true";
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close();
    });
    dialog.addEventListener("close", () => dialog.contains(byId("toasts")) && document.body.append(byId("toasts")));
  }
  if (!dialog.open) dialog.showModal();
}

/** A fresh id. `crypto.randomUUID` is only for secure contexts, and a phone in the same house comes over plain HTTP. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Puts text on the clipboard, without the clipboard API where there is none (plain HTTP). */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h("textarea", { class: "offscreen", readonly: true, "aria-hidden": "true" });
    area.value = text;
    (document.querySelector("dialog[open]:last-of-type") ?? document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/** Hands a file to the browser's downloads. */
export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
