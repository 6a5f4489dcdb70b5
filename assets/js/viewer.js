// @ts-check
/**
 * One image, as large as can be: zoom, before and after, its parameters, and what can be done with it.
 */

import { byId, copyText, elementOf, fieldOf, fill, h, openDialog, save, setText, textButton, toast } from "./dom.js";
import * as history from "./history.js";
import { clock, failureText, moment, n, t } from "./i18n.js";
import { write } from "./metadata.js";
import { body } from "./requests.js";
import { LANGUAGES, snippet } from "./snippets.js";
import * as thumbs from "./thumbs.js";

const MOST = 12;
/** Statuses of a link that leads nowhere, or not any more. */
const DEAD_LINK = new Set([403, 404, 410]);

export class Viewer {
  #pictures = [];
  #at = 0;
  #urls = [];
  #zoom = { scale: 1, x: 0, y: 0 };
  #pointers = new Map();
  #pinch = null;
  #actions;

  /** @param {{useAsInput: Function, useSettings: Function, vary: Function, canEdit?: () => boolean}} actions */
  constructor(actions) {
    this.#actions = actions;
    const dialog = byId("viewer");
    byId("viewer-previous").addEventListener("click", () => this.#go(-1));
    byId("viewer-next").addEventListener("click", () => this.#go(1));
    byId("viewer-close").addEventListener("click", () => dialog.close());
    byId("zoom-in").addEventListener("click", () => this.#zoomBy(1.5));
    byId("zoom-out").addEventListener("click", () => this.#zoomBy(1 / 1.5));
    byId("zoom-fit").addEventListener("click", () => this.#setZoom({ scale: 1, x: 0, y: 0 }));
    byId("compare-range").addEventListener("input", (event) =>
      byId("easel").style.setProperty("--cut", `${fieldOf(event).value}%`),
    );
    dialog.addEventListener("close", () => this.#close());
    dialog.addEventListener("keydown", (event) => this.#key(event));
    const stage = byId("easel");
    stage.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        this.#zoomBy(Math.exp(-event.deltaY / (event.ctrlKey ? 120 : 400)), event);
      },
      { passive: false },
    );
    stage.addEventListener("dblclick", (event) =>
      this.#zoom.scale > 1 ? this.#setZoom({ scale: 1, x: 0, y: 0 }) : this.#zoomBy(2.5, event),
    );
    stage.addEventListener("pointerdown", (event) => this.#down(event));
    stage.addEventListener("pointermove", (event) => this.#drag(event));
    for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, (event) => this.#up(event));
  }

  /** Shows the image of that id, among `pictures`. */
  open(pictures, id) {
    this.#pictures = pictures;
    this.#at = Math.max(
      0,
      pictures.findIndex((picture) => picture.id === id),
    );
    openDialog(byId("viewer"));
    this.#show();
    byId("easel").focus();
  }

  get #picture() {
    return this.#pictures[this.#at];
  }

  /** Shows it again, in the words of the chosen language. */
  refresh() {
    if (byId("viewer").open) this.#show();
  }

  #close() {
    this.#urls.forEach((url) => URL.revokeObjectURL(url));
    this.#urls = [];
    byId("viewer-image").removeAttribute("src");
    byId("before-image").removeAttribute("src");
  }

  #go(step) {
    const next = this.#at + step;
    if (next < 0 || next >= this.#pictures.length) return;
    this.#at = next;
    this.#show();
  }

  #key(event) {
    if (elementOf(event).matches("input, textarea, select") && event.key !== "Escape") return;
    const act = {
      ArrowLeft: () => this.#go(-1),
      ArrowRight: () => this.#go(1),
      "+": () => this.#zoomBy(1.5),
      "=": () => this.#zoomBy(1.5),
      "-": () => this.#zoomBy(1 / 1.5),
      0: () => this.#setZoom({ scale: 1, x: 0, y: 0 }),
      d: () => this.#download(),
      Delete: () => this.#delete(),
    }[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  }

  async #show() {
    const picture = this.#picture;
    const { recipe } = picture;
    this.#close();
    this.#setZoom({ scale: 1, x: 0, y: 0 });
    const image = byId("viewer-image");
    image.alt = recipe.prompt;
    const thumb = thumbs.url(picture);
    if (thumb) image.src = thumb;
    setText(byId("viewer-place"), `${this.#at + 1} / ${this.#pictures.length}`);
    byId("viewer-previous").disabled = this.#at === 0;
    byId("viewer-next").disabled = this.#at === this.#pictures.length - 1;
    // A button that can't be pressed any more loses the focus, and the keys with it.
    if (document.activeElement === document.body || document.activeElement.matches(":disabled")) byId("easel").focus();
    this.#showFacts(picture);
    byId("compare").hidden = true;
    byId("easel").classList.remove("compares");
    try {
      const blob = await history.bytes(picture);
      if (picture !== this.#picture || !byId("viewer").open) return;
      image.src = this.#url(blob);
      const before = await history.bytesBefore(picture);
      if (before && picture === this.#picture) {
        byId("before-image").src = this.#url(before);
        byId("before-image").alt = t("viewer.before");
        byId("compare").hidden = false;
        byId("compare-range").value = "50";
        byId("easel").style.setProperty("--cut", "50%");
        byId("easel").classList.add("compares");
      }
    } catch (error) {
      if (picture !== this.#picture) return;
      setText(byId("viewer-problem"), DEAD_LINK.has(error.status) ? t("viewer.gone") : failureText(error));
    }
  }

  #url(blob) {
    const url = URL.createObjectURL(blob);
    this.#urls.push(url);
    return url;
  }

  #showFacts(picture) {
    const { recipe } = picture;
    setText(byId("viewer-problem"), "");
    setText(byId("viewer-prompt"), recipe.prompt);
    const rows = [
      ["fact.negative", recipe.negative_prompt],
      ["fact.model", recipe.model],
      ["fact.seed", recipe.seed],
      ["fact.size", picture.width ? `${picture.width} × ${picture.height}` : recipe.size],
      ["field.steps", recipe.steps],
      ["field.guidance", recipe.guidance_scale],
      ["field.sampler", recipe.sampler],
      ["field.strength", recipe.strength],
      ["fact.space", picture.space],
      ["fact.took", picture.seconds && clock(picture.seconds)],
      ["fact.made", moment(picture.at)],
    ].map(([name, value]) => [t(name), value]);
    rows.push(
      ...Object.entries(recipe.extras ?? {}).map(([name, value]) => [
        name,
        typeof value === "object" ? JSON.stringify(value) : String(value),
      ]),
    );
    fill(
      byId("viewer-facts"),
      rows
        .filter(([, value]) => value !== undefined && value !== null && value !== "")
        .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, String(value)))),
    );
    const said = (done) => toast(t(done ? "copied" : "copyFailed"), { failed: !done });
    const close = (act) => () => {
      byId("viewer").close();
      act();
    };
    const item = (name, words, act, properties) => textButton(name, t(words), act, { class: "item", ...properties });
    fill(
      byId("viewer-actions"),
      textButton("download", t("act.download"), () => this.#download(), { class: "primary" }),
      item(
        "settings",
        "act.useSettings",
        close(() => this.#actions.useSettings(recipe)),
      ),
      item(
        "dice",
        "act.vary",
        close(() => this.#actions.vary(recipe, picture)),
      ),
      item(
        "image",
        "act.useAsInput",
        close(async () => this.#actions.useAsInput(await history.bytes(picture))),
      ),
      h("hr"),
      item("copy", "act.copyImage", async () => said(await copyImage(() => history.bytes(picture)))),
      picture.url && item("link", "act.copyLink", async () => said(await copyText(picture.url))),
      item("text", "act.copyParameters", async () => said(await copyText(write(recipe)))),
      h(
        "div",
        { class: "copy-as", role: "group", "aria-label": t("copyAs") },
        h("span", { "aria-hidden": "true" }, t("copyAs")),
        LANGUAGES.map((language) =>
          textButton(null, language, async () =>
            said(await copyText(snippet(language, asRequest(recipe), location.origin))),
          ),
        ),
      ),
      h("hr"),
      item("trash", "act.delete", () => this.#delete(), { class: "item danger" }),
    );
  }

  async #download() {
    try {
      save(await history.file(this.#picture), history.fileName(this.#picture));
    } catch {
      toast(t("viewer.gone"), { failed: true });
    }
  }

  #delete() {
    const picture = this.#picture;
    this.#pictures = this.#pictures.filter((other) => other !== picture);
    const undo = history.remove([picture]);
    if (this.#pictures.length === 0) byId("viewer").close();
    else {
      this.#at = Math.min(this.#at, this.#pictures.length - 1);
      this.#show();
    }
    toast(n("gallery.deleted", 1), { action: { label: t("undo"), run: undo } });
  }

  // Zoom.

  #setZoom({ scale, x, y }) {
    const stage = byId("easel").getBoundingClientRect();
    // The image's middle may go as far as its edge is at the stage's.
    const limit = (value, side) => Math.min((side * (scale - 1)) / 2, Math.max((-side * (scale - 1)) / 2, value));
    this.#zoom = { scale, x: limit(x, stage.width), y: limit(y, stage.height) };
    const style = byId("easel").style;
    style.setProperty("--scale", String(scale));
    style.setProperty("--x", `${this.#zoom.x}px`);
    style.setProperty("--y", `${this.#zoom.y}px`);
    byId("easel").classList.toggle("zoomed", scale > 1);
    setText(byId("zoom-now"), `${Math.round(scale * 100)} %`);
  }

  /** Zooms, so that what is under the pointer stays there. */
  #zoomBy(factor, { clientX, clientY } = { clientX: undefined, clientY: undefined }) {
    const { scale, x, y } = this.#zoom;
    const next = Math.min(MOST, Math.max(1, scale * factor));
    const stage = byId("easel").getBoundingClientRect();
    const from =
      clientX === undefined
        ? { x: 0, y: 0 }
        : { x: clientX - stage.left - stage.width / 2, y: clientY - stage.top - stage.height / 2 };
    const part = next / scale;
    this.#setZoom({ scale: next, x: from.x - (from.x - x) * part, y: from.y - (from.y - y) * part });
  }

  #down(event) {
    if (elementOf(event).closest("button, input")) return;
    this.#pointers.set(event.pointerId, event);
    byId("easel").setPointerCapture(event.pointerId);
    this.#swipe = { x: event.clientX, y: event.clientY, at: Date.now() };
    if (this.#pointers.size === 2) this.#pinch = this.#span();
  }

  #swipe = null;

  #span() {
    const [one, other] = [...this.#pointers.values()];
    return {
      distance: Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY),
      clientX: (one.clientX + other.clientX) / 2,
      clientY: (one.clientY + other.clientY) / 2,
    };
  }

  #drag(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    this.#pointers.set(event.pointerId, event);
    if (this.#pointers.size === 2) {
      const now = this.#span();
      this.#zoomBy(now.distance / this.#pinch.distance, now);
      this.#pinch = now;
    } else if (this.#zoom.scale > 1) {
      const { scale, x, y } = this.#zoom;
      this.#setZoom({ scale, x: x + event.clientX - before.clientX, y: y + event.clientY - before.clientY });
    }
  }

  #up(event) {
    if (!this.#pointers.delete(event.pointerId) || event.type === "pointercancel") return;
    // A finger that wipes goes to the next image.
    const { x, y, at } = this.#swipe;
    const [right, down] = [event.clientX - x, event.clientY - y];
    if (
      event.pointerType === "touch" &&
      this.#zoom.scale === 1 &&
      this.#pinch === null &&
      Date.now() - at < 600 &&
      Math.abs(right) > 60 &&
      Math.abs(down) < 60
    ) {
      this.#go(right < 0 ? 1 : -1);
    }
    if (this.#pointers.size === 0) this.#pinch = null;
  }
}

/** A recipe as the request that makes it. */
function asRequest(recipe) {
  const json = body(recipe);
  if (recipe.kind === "generation") return { method: "POST", path: "/v1/images/generations", json };
  /** @type {Array<[string, string]>} */
  const form = [];
  for (const [name, value] of Object.entries(json)) form.push([name, String(value)]);
  form.push(["image", "@image.png"]);
  return { method: "POST", path: "/v1/images/edits", form };
}

/** Puts an image on the clipboard, which takes PNG alone. */
async function copyImage(read) {
  if (!navigator.clipboard?.write || typeof ClipboardItem === "undefined") return false;
  try {
    await navigator.clipboard.write([new ClipboardItem({ "image/png": read().then(asPng) })]);
    return true;
  } catch {
    return false;
  }
}

async function asPng(blob) {
  if (blob.type === "image/png") return blob;
  const bitmap = await createImageBitmap(blob);
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}
