// @ts-check
/**
 * The contact sheet: a tile for each image, by day. A tile stays the same element for as long as its image is shown, so
 * that a change of the list loads no other image again.
 */

import { ratioOf } from "./capabilities.js";
import { active, allOf, h, icon, setText } from "./dom.js";
import { day, failureText, language, t } from "./i18n.js";
import * as thumbs from "./thumbs.js";

/** Distance from the screen at which a file of the server is fetched. */
const NEAR = "400px";
/** Statuses of a file that is no longer there. */
const GONE = new Set([403, 404, 410]);

const tiles = new WeakMap();
const seer = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      const tile = tiles.get(target);
      if (!isIntersecting || !tile) continue;
      seer.unobserve(target);
      thumbs.fetch(tile.picture).then(() => tile.showImage());
    }
  },
  { rootMargin: NEAR },
);

/** A button that shows an image's thumbnail. */
export class Tile {
  #image = h("img", { loading: "lazy", decoding: "async" });
  #prompt = h("span", { class: "picture-prompt" });
  #seed = h("span", { class: "picture-seed" });
  #badge = h("span", { class: "badge" });
  #tick = h("span", { class: "tick", hidden: true }, icon("check"));
  /** Name of the image while it isn't there to have one. */
  #name = h("span", { class: "offscreen" });
  #gone = h("span", { class: "gone", hidden: true });

  /**
   * @param {import("./history.js").Picture} picture
   * @param {(picture: import("./history.js").Picture) => void} act
   */
  constructor(picture, act) {
    this.picture = picture;
    this.button = h(
      "button",
      { type: "button", class: "picture", data: { id: picture.id }, on: { click: () => act(this.picture) } },
      this.#image,
      this.#name,
      this.#gone,
      h("span", { class: "picture-facts", "aria-hidden": "true" }, this.#prompt, this.#seed),
      this.#tick,
    );
    tiles.set(this.button, this);
    this.update(picture, null);
  }

  /**
   * Takes the image as it is now.
   * @param {import("./history.js").Picture} picture
   * @param {Set<string>|null} chosen the chosen ones, while there is choosing
   */
  update(picture, chosen) {
    this.picture = picture;
    const { recipe, remote } = picture;
    setText(this.#prompt, recipe.prompt);
    setText(this.#seed, String(recipe.seed ?? ""));
    setText(this.#badge, t(remote ? "picture.remote" : "picture.edit"));
    if (remote || recipe.kind === "edit") this.button.append(this.#badge);
    else this.#badge.remove();
    if (chosen) this.button.setAttribute("aria-pressed", String(chosen.has(picture.id)));
    else this.button.removeAttribute("aria-pressed");
    this.#tick.hidden = !chosen?.has(picture.id);
    this.showImage();
  }

  /** Shows the thumbnail, or why there is none. */
  showImage() {
    const { picture } = this;
    const label = t("picture.label", { prompt: picture.recipe.prompt, seed: picture.recipe.seed ?? "–" });
    const url = thumbs.url(picture);
    const problem = url === null && thumbs.problem(picture);
    const words = problem && (GONE.has(problem.status) ? t("picture.gone") : failureText(problem));
    if (this.#image.alt !== label) this.#image.alt = label;
    this.#name.hidden = url !== null;
    setText(this.#name, label);
    if (url !== null && this.#image.getAttribute("src") !== url) this.#image.src = url;
    this.#image.hidden = url === null;
    this.#gone.hidden = !words;
    setText(this.#gone, words || "");
    if (url === null && !problem) seer.observe(this.button);
  }
}

export class Grid {
  #root;
  #act;
  #frames = new Map();
  #days = new Map();

  /**
   * @param {HTMLElement} root
   * @param {(picture: import("./history.js").Picture) => void} act
   */
  constructor(root, act) {
    this.#root = root;
    this.#act = act;
    root.addEventListener("keydown", (event) => this.#arrows(event));
  }

  /**
   * Shows these images, in this order.
   * @param {import("./history.js").Picture[]} pictures
   * @param {Set<string>|null} chosen
   */
  show(pictures, chosen) {
    const groups = new Map();
    for (const picture of pictures) {
      const name = day(picture.at);
      if (!groups.has(name)) groups.set(name, []);
      groups.get(name).push(this.#frame(picture, chosen));
    }
    const focused = active();
    const sections = [...groups].map(([name, frames]) => {
      if (!this.#days.has(name)) {
        const list = h("ul", { class: "sheet" });
        this.#days.set(name, { list, section: h("section", { class: "day" }, h("h3", {}, name), list) });
      }
      const { list, section } = this.#days.get(name);
      arrange(list, frames);
      return section;
    });
    arrange(this.#root, sections);
    for (const name of [...this.#days.keys()]) if (!groups.has(name)) this.#days.delete(name);
    const shown = new Set(pictures.map(({ id }) => id));
    for (const id of [...this.#frames.keys()]) if (!shown.has(id)) this.#frames.delete(id);
    // An element that is moved loses the focus.
    if (focused && focused !== active() && this.#root.contains(focused)) focused.focus({ preventScroll: true });
  }

  #frame(picture, chosen) {
    let frame = this.#frames.get(picture.id);
    if (!frame) {
      const tile = new Tile(picture, this.#act);
      frame = { tile, root: h("li", { class: "frame" }, tile.button) };
      this.#frames.set(picture.id, frame);
    }
    const ratio = picture.width && picture.height ? picture.width / picture.height : ratioOf(picture.recipe);
    if (frame.ratio !== ratio) frame.root.style.setProperty("--ratio", ratio.toFixed(4));
    frame.ratio = ratio;
    const key = [language(), chosen?.has(picture.id), picture.remote, thumbs.url(picture)].join();
    if (frame.key !== key) {
      frame.key = key;
      frame.root.classList.toggle("chosen", Boolean(chosen?.has(picture.id)));
      frame.tile.update(picture, chosen);
    }
    return frame.root;
  }

  /** Arrow keys go from image to image. */
  #arrows(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
    const rows = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const all = allOf(".picture", this.#root);
    const at = all.indexOf(active());
    if (at < 0 || (step === undefined && rows === undefined)) return;
    event.preventDefault();
    let next = all[Math.min(all.length - 1, Math.max(0, at + (step ?? 0)))];
    if (rows) {
      const here = all[at].getBoundingClientRect();
      const middle = here.left + here.width / 2;
      const beyond = all
        .map((one) => ({ one, box: one.getBoundingClientRect() }))
        .filter(({ box }) => (rows > 0 ? box.top >= here.bottom - 1 : box.bottom <= here.top + 1));
      const edge =
        rows > 0 ? Math.min(...beyond.map(({ box }) => box.top)) : Math.max(...beyond.map(({ box }) => box.top));
      const off = ({ box }) => Math.abs(box.left + box.width / 2 - middle);
      next = beyond.filter(({ box }) => Math.abs(box.top - edge) < 4).sort((a, b) => off(a) - off(b))[0]?.one;
    }
    next?.focus();
  }
}

/** Makes `children` those of `parent`, in this order. What is there stays where it is. */
function arrange(parent, children) {
  const wanted = new Set(children);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  let place = parent.firstElementChild;
  for (const child of children) {
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
  }
}
