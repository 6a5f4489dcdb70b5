// @ts-check
/**
 * The gallery: the images of this device and of the server, found, chosen, exported and deleted.
 */

import { announce, byId, fieldOf, save, setText, toast } from "./dom.js";
import * as ended from "./ended.js";
import { Grid } from "./grid.js";
import * as history from "./history.js";
import { n, t } from "./i18n.js";
import * as jobs from "./jobs.js";
import { zip } from "./zip.js";

/** Number of tiles that are added to the page in one frame. */
const STEP = 24;
/** Distance from the end of the page at which more are added. */
const NEAR = "1200px";

export class Gallery {
  #query = "";
  #shown = STEP;
  /** @type {Set<string>|null} the chosen ones, while there is choosing */
  #chosen = null;
  #grid;
  #end;

  /** @param {{open: (pictures: object[], id: string) => void}} actions */
  constructor({ open }) {
    this.#grid = new Grid(byId("grid"), ({ id }) => {
      if (this.#chosen) this.#toggle(id);
      else open(this.pictures, id);
    });
    byId("search").addEventListener("input", (event) => {
      this.#query = fieldOf(event).value;
      this.#shown = STEP;
      this.show();
    });
    byId("choose").addEventListener("click", () => this.#setChoosing(this.#chosen === null));
    byId("choose-all").addEventListener("click", () => {
      const found = history.search(this.#query);
      const all = found.every(({ id }) => this.#chosen.has(id));
      this.#chosen = new Set(all ? [] : found.map(({ id }) => id));
      this.show();
    });
    byId("export").addEventListener("click", () => this.#export());
    byId("delete-chosen").addEventListener("click", () => this.#deleteChosen());
    addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !this.#chosen || document.querySelector("dialog[open]")) return;
      this.#setChoosing(false);
      byId("choose").focus();
    });
    this.#end = new IntersectionObserver(
      (entries) => {
        if (entries.at(-1).isIntersecting && this.#shown < history.search(this.#query).length) {
          this.#shown += STEP;
          this.show();
          // Whether the end is still near is told anew.
          this.#end.unobserve(byId("grid-end"));
          this.#end.observe(byId("grid-end"));
        }
      },
      { rootMargin: NEAR },
    );
    this.#end.observe(byId("grid-end"));
    byId("older").addEventListener("click", () => history.ask({ more: true }));
    history.changed.on(() => this.show());
    ended.changed.on(() => this.show());
    jobs.changed.on((job) => (job === null || job.isOver) && this.show());
  }

  /** The images that a search leaves, in the order in which they are shown. */
  get pictures() {
    return history.search(this.#query);
  }

  /** Shows the images again. */
  show() {
    const found = history.search(this.#query);
    const busy = new Set(jobs.batches.flatMap((batch) => batch.jobs.map(({ imageId }) => imageId)).filter(Boolean));
    const visible = found.filter(({ id }) => !busy.has(id));
    if (this.#chosen) this.#chosen = new Set([...this.#chosen].filter((id) => history.find(id)));
    this.#grid.show(visible.slice(0, this.#shown), this.#chosen);
    byId("empty").hidden = visible.length > 0 || jobs.batches.length > 0 || ended.left().length > 0;
    setText(byId("empty-text"), t(this.#query ? "gallery.nothingFound" : "gallery.empty"));
    byId("empty-ideas").hidden = Boolean(this.#query);
    setText(byId("found"), this.#query ? n("gallery.found", visible.length) : n("gallery.count", found.length));
    byId("older").hidden = !(history.remote.state === "ready" && history.remote.hasMore);
    byId("no-remote").hidden = history.remote.state !== "absent";
    byId("gallery-tools").hidden = found.length === 0 && !this.#query;
    if (this.#chosen) {
      setText(byId("chosen-count"), n("gallery.chosen", this.#chosen.size));
      byId("export").disabled = byId("delete-chosen").disabled = this.#chosen.size === 0;
    }
  }

  // Choosing several.

  #setChoosing(choosing) {
    this.#chosen = choosing ? new Set() : null;
    byId("choose").setAttribute("aria-pressed", String(choosing));
    byId("chosen-tools").hidden = !choosing;
    this.show();
  }

  #toggle(id) {
    if (!this.#chosen.delete(id)) this.#chosen.add(id);
    this.show();
  }

  #picked() {
    return [...this.#chosen].map((id) => history.find(id)).filter(Boolean);
  }

  async #export() {
    const chosen = this.#picked();
    const names = new Set();
    byId("export").disabled = true;
    try {
      const files = [];
      for (const picture of chosen) {
        let name = history.fileName(picture);
        for (let copy = 2; names.has(name); copy++) name = history.fileName(picture).replace(/(\.\w+)$/, `_${copy}$1`);
        names.add(name);
        files.push({
          name,
          blob: await history.file(picture),
          at: new Date(picture.at),
          facts: { file: name, ...history.facts(picture) },
        });
      }
      const index = new Blob(
        [
          JSON.stringify(
            files.map(({ facts }) => facts),
            null,
            2,
          ),
        ],
        { type: "application/json" },
      );
      save(
        await zip([...files, { name: "images.json", blob: index, at: new Date() }]),
        `z-image_${new Date().toISOString().slice(0, 10)}.zip`,
      );
    } catch (error) {
      toast(t("gallery.exportFailed", { reason: error.message }), { failed: true });
    }
    byId("export").disabled = false;
  }

  #deleteChosen() {
    const chosen = this.#picked();
    this.#setChoosing(false);
    const undo = history.remove(chosen);
    const words = n("gallery.deleted", chosen.length);
    announce(words);
    toast(words, { action: { label: t("undo"), run: undo } });
  }
}
