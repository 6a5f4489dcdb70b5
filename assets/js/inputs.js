// @ts-check
/**
 * The images to start from: dropped, pasted, chosen or taken from the gallery; and the mask that is drawn over the
 * first.
 */

import { byId, fill, h, iconButton, newId, toast } from "./dom.js";
import { t } from "./i18n.js";
import { drawMask } from "./mask.js";

/** Types of images that the API takes. */
const TYPES = ["image/png", "image/jpeg", "image/webp", "image/gif", "image/avif"];

export class Inputs {
  /** @type {Array<{id: string, blob: Blob, url: string}>} */
  images = [];
  /** @type {Blob|null} */
  mask = null;
  #maskUrl = null;
  #most = 1;
  #takesMask = false;
  #list;
  #changed;

  constructor(list, changed) {
    this.#list = list;
    this.#changed = changed;
    const picker = byId("input-file");
    byId("add-input").addEventListener("click", () => picker.click());
    picker.addEventListener("change", () => {
      this.add([...picker.files]);
      picker.value = "";
    });
    byId("draw-mask").addEventListener("click", () => this.#draw());
    byId("drop-mask").addEventListener("click", () => this.setMask(null));
  }

  /** Takes the model's limits: the number of images, and whether there may be a mask. */
  limits(most, takesMask) {
    this.#most = most;
    this.#takesMask = takesMask;
    this.#show();
  }

  /** Adds images; where there is room for one only, the last takes its place. */
  add(blobs) {
    const taken = blobs.filter((blob) => TYPES.includes(blob.type));
    if (taken.length < blobs.length) toast(t("inputs.type"), { failed: true });
    if (taken.length === 0) return;
    const added = taken.map((blob) => ({ id: newId(), blob, url: URL.createObjectURL(blob) }));
    const before = this.images[0];
    const all = this.#most === 1 ? added.slice(-1) : [...this.images, ...added].slice(0, this.#most);
    this.images.filter((image) => !all.includes(image)).forEach(({ url }) => URL.revokeObjectURL(url));
    this.images = all;
    if (this.images[0] !== before) this.#clearMask();
    this.#changed();
  }

  remove(id) {
    const first = this.images[0];
    this.images.filter((image) => image.id === id).forEach(({ url }) => URL.revokeObjectURL(url));
    this.images = this.images.filter((image) => image.id !== id);
    // A mask belongs to the first image.
    if (this.images[0] !== first) this.#clearMask();
    this.#changed();
  }

  setMask(blob) {
    this.#clearMask();
    this.mask = blob;
    if (blob) this.#maskUrl = URL.createObjectURL(blob);
    this.#show();
  }

  #clearMask() {
    if (this.#maskUrl) URL.revokeObjectURL(this.#maskUrl);
    this.#maskUrl = this.mask = null;
  }

  async #draw() {
    const [first] = this.images;
    if (!first) return;
    const mask = await drawMask(first.blob, this.mask);
    if (mask !== undefined) this.setMask(mask);
  }

  #show() {
    fill(
      this.#list,
      this.images.map(({ id, url }, index) =>
        h(
          "li",
          { class: "input" },
          h("img", { src: url, alt: t("inputs.image", { number: index + 1 }) }),
          index === 0 && this.mask && h("span", { class: "badge" }, t("mask.on")),
          iconButton("close", t("inputs.remove", { number: index + 1 }), () => this.remove(id), { class: "corner" }),
        ),
      ),
    );
    this.#list.hidden = this.images.length === 0;
    byId("add-input").hidden = this.images.length >= this.#most && this.#most > 1;
    byId("drop-hint").hidden = this.images.length > 0;
    byId("mask-tools").hidden = !this.#takesMask || this.images.length === 0;
    byId("drop-mask").hidden = !this.mask;
  }
}
