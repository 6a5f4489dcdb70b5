// @ts-check
/**
 * The gallery: batches on their way, above the images of this device and of the server.
 */

import { ratioOf } from "./capabilities.js";
import {
  active,
  allOf,
  announce,
  byId,
  fieldOf,
  fill,
  h,
  icon,
  iconButton,
  save,
  setText,
  textButton,
  toast,
} from "./dom.js";
import * as history from "./history.js";
import { clock, day, failureText, n, t } from "./i18n.js";
import * as jobs from "./jobs.js";
import { zip } from "./zip.js";

/** Number of tiles that are added to the page at once. */
const SCREEN = 60;
const STAGES = ["held", "waiting", "queued", "running", "fetching"];

export class Gallery {
  #query = "";
  #shown = SCREEN;
  /** @type {Set<string>|null} the chosen ones, while there is choosing */
  #chosen = null;
  #open;
  #cards = new Map();
  #ticking = null;

  /** @param {{open: (pictures: object[], at: number) => void, onRetry?: (job: object) => void}} actions */
  constructor({ open }) {
    this.#open = open;
    byId("search").addEventListener("input", (event) => {
      this.#query = fieldOf(event).value;
      this.#shown = SCREEN;
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
    byId("grid").addEventListener("keydown", (event) => this.#arrows(event));
    // More tiles as the end of the page comes near.
    new IntersectionObserver((entries) => {
      if (entries.some(({ isIntersecting }) => isIntersecting) && this.#shown < history.search(this.#query).length) {
        this.#shown += SCREEN;
        this.show();
      }
    }).observe(byId("grid-end"));
    byId("older").addEventListener("click", () => history.ask({ more: true }));
    history.changed.on(() => this.show());
    jobs.changed.on((job) => this.#update(job));
  }

  /** The images that a search leaves, in the order in which they are shown. */
  get pictures() {
    return history.search(this.#query);
  }

  // Batches.

  #update(job) {
    if (job === null) this.#showBatches();
    else this.#showJob(job);
    if (job?.isOver) {
      const { index, batch, state } = job;
      announce(t(`said.${state}`, { number: index + 1, count: batch.jobs.length }));
      this.#settle(batch);
    }
    const active = jobs.batches.some((batch) => batch.jobs.some((one) => !one.isOver));
    if (active) this.#ticking ??= setInterval(() => this.#tick(), 250);
    else if (this.#ticking) this.#ticking = void clearInterval(this.#ticking);
  }

  /** A batch whose images are all made goes into the grid. */
  #settle(batch) {
    if (batch.jobs.every((job) => job.isOver)) {
      if (batch.jobs.every(({ state }) => state === "succeeded" || state === "cancelled"))
        setTimeout(() => jobs.dismiss(batch), 400);
      else this.#showBatches();
      // The server's own record of them: its links, and the ids to delete them by.
      if (history.remote.state === "ready") setTimeout(() => history.ask(), 1000);
    }
    this.show();
  }

  /** Shows everything again, in the words of the chosen language. */
  refresh() {
    this.#cards.clear();
    fill(byId("batches"));
    this.#showBatches();
    this.show();
  }

  #showBatches() {
    const wanted = new Set(jobs.batches.map(({ id }) => id));
    for (const section of allOf(".batch", byId("batches"))) if (!wanted.has(section.dataset.batch)) section.remove();
    jobs.batches.forEach((batch, at) => {
      let section = byId(`batch-${batch.id}`);
      if (!section || section.dataset.jobs !== String(batch.jobs.length)) {
        section?.remove();
        section = this.#batch(batch);
      }
      if (byId("batches").children[at] !== section)
        byId("batches").insertBefore(section, byId("batches").children[at] ?? null);
      const running = batch.jobs.some((job) => !job.isOver);
      const hide = (selector, hidden) => allOf(selector, section).forEach((button) => (button.hidden = hidden));
      hide(".cancel-all", !running);
      hide(".dismiss", running);
      hide(".retry-all", running || !batch.jobs.some(({ state }) => state === "failed"));
    });
    this.show();
  }

  #batch(batch) {
    const title = h("h3", { class: "batch-title" }, batch.recipe.prompt);
    const lanes = h(
      "ol",
      { class: "lanes", "aria-hidden": "true" },
      batch.jobs.map(() => h("li", { class: "lane" })),
    );
    const cards = batch.jobs.map((job) => this.#card(job));
    const section = h(
      "section",
      {
        class: "batch",
        id: `batch-${batch.id}`,
        "aria-label": batch.recipe.prompt,
        data: { batch: batch.id, jobs: batch.jobs.length },
      },
      h(
        "header",
        { class: "batch-head" },
        title,
        h("span", { class: "batch-facts" }),
        textButton(
          "stop",
          batch.jobs.length > 1 ? t("job.cancelAll") : t("job.cancel"),
          () => batch.jobs.forEach(jobs.cancel),
          { class: "cancel-all" },
        ),
        textButton(
          "again",
          t("job.retryFailed"),
          () => batch.jobs.filter(({ state }) => state === "failed").forEach((job) => this.#retry(job)),
          { class: "retry-all" },
        ),
        iconButton("close", t("job.dismiss"), () => jobs.dismiss(batch), { class: "dismiss" }),
      ),
      h("ul", { class: "sheet" }, cards),
      lanes,
      h(
        "p",
        { class: "legend", "aria-hidden": "true" },
        ["waiting", "queued", "running", "fetching"].map((state) =>
          h("span", { class: `key ${state}` }, t(`lane.${state}`)),
        ),
      ),
    );
    batch.jobs.forEach((job) => this.#showJob(job));
    return section;
  }

  #card(job) {
    const ratio = ratioOf(job.recipe);
    const parts = {
      picture: h("div", { class: "job-picture" }),
      state: h("span", { class: "job-state" }),
      facts: h("span", { class: "job-facts" }),
      bar: h("progress", { class: "job-bar", max: 1, "aria-label": t("job.progress", { number: job.index + 1 }) }),
      buttons: h("span", { class: "job-buttons" }),
    };
    parts.root = h(
      "li",
      { class: "job", id: `job-${job.id}`, style: { "--ratio": ratio.toFixed(4) } },
      parts.picture,
      h(
        "div",
        { class: "job-foot" },
        parts.bar,
        h("div", { class: "job-words" }, parts.state, parts.facts),
        parts.buttons,
      ),
    );
    this.#cards.set(job.id, parts);
    return parts.root;
  }

  #showJob(job) {
    const card = this.#cards.get(job.id);
    if (!card) return;
    card.root.dataset.state = job.state;
    const { step, steps, fraction } = job.progress;
    const done = fraction ?? (steps ? step / steps : null);
    card.bar.hidden = job.isOver;
    if (job.state === "running" && done !== null && done !== undefined) card.bar.value = done;
    else if (job.state === "fetching") card.bar.value = 1;
    else card.bar.removeAttribute("value");
    this.#showPicture(job, card);
    const key = `${job.state}`;
    if (card.shown !== key) {
      card.shown = key;
      fill(card.buttons, this.#buttons(job));
    }
    this.#words(job, card);
  }

  #showPicture(job, card) {
    const source = job.partial;
    if (job.state === "succeeded") {
      const picture = history.find(job.imageId);
      if (picture && card.source !== picture.id) {
        card.source = picture.id;
        fill(
          card.picture,
          this.#button(picture, () =>
            this.#open([...job.batch.jobs].map(({ imageId }) => history.find(imageId)).filter(Boolean), picture.id),
          ),
        );
      }
    } else if (source && card.source !== source) {
      card.source = source;
      fill(card.picture, h("img", { src: source, alt: t("job.partial"), class: "partial" }));
    } else if (!source && card.source) {
      card.source = null;
      fill(card.picture);
    }
  }

  #buttons(job) {
    if (!job.isOver) return iconButton("stop", t("job.cancelOne", { number: job.index + 1 }), () => jobs.cancel(job));
    if (job.state !== "succeeded")
      return iconButton("again", t("job.retryOne", { number: job.index + 1 }), () => this.#retry(job));
    return null;
  }

  #retry(job) {
    const card = this.#cards.get(job.id);
    if (card) card.shown = card.source = null;
    jobs.retry(job);
    this.#showBatches();
  }

  #words(job, card) {
    const { queue_position, queue_size, eta_seconds, etaAt, step, steps, space } = job.progress;
    const elapsed = ((job.ended ?? Date.now()) - job.begun) / 1000;
    let state = t(`state.${job.state}`);
    if (job.state === "queued" && queue_position !== undefined) {
      state = queue_size
        ? t("state.place", { place: queue_position + 1, size: Math.max(queue_size, queue_position + 1) })
        : t("state.placeOnly", { place: queue_position + 1 });
    }
    if (job.state === "running" && steps) state = t("state.step", { step: step ?? 0, steps });
    if (job.state === "failed") state = failureText(job.error);
    const facts = [job.isOver ? t("state.took", { time: clock(elapsed) }) : clock(elapsed)];
    if (!job.isOver && eta_seconds !== undefined) {
      const left = Math.ceil(eta_seconds - (Date.now() - etaAt) / 1000);
      if (left > 0) facts.push(t("state.eta", { time: clock(left) }));
    }
    if (space && job.state !== "failed") facts.push(space.replace(/^https?:\/\//, ""));
    setText(card.state, state);
    setText(card.facts, facts.join(" · "));
  }

  /** Clocks and timelines, four times a second. */
  #tick() {
    for (const batch of jobs.batches) {
      const section = byId(`batch-${batch.id}`);
      if (!section) continue;
      for (const job of batch.jobs) {
        const card = this.#cards.get(job.id);
        if (card) this.#words(job, card);
      }
      const over = batch.jobs.filter((job) => job.isOver).length;
      setText(section.querySelector(".batch-facts"), t("batch.facts", { done: over, count: batch.jobs.length }));
      this.#lanes(batch, section.querySelector(".lanes"));
    }
  }

  /** Times at which each image waited, queued and ran: the pauses between their beginnings are the stagger. */
  #lanes(batch, list) {
    list.hidden = list.nextSibling.hidden = batch.jobs.length < 2;
    if (list.hidden) return;
    const from = Math.min(...batch.jobs.map(({ begun }) => begun));
    const to = Math.max(...batch.jobs.map(({ ended }) => ended ?? Date.now()), from + 1000);
    const part = (time) => `${((time - from) / (to - from)) * 100}%`;
    batch.jobs.forEach((job, at) => {
      const lane = list.children[at];
      const marks = job.marks.filter(({ state }) => STAGES.includes(state));
      while (lane.children.length > marks.length) lane.lastChild.remove();
      marks.forEach(({ state, at: begun }, number) => {
        const bar = lane.children[number] ?? lane.appendChild(h("span"));
        const end = job.marks[job.marks.indexOf(marks[number]) + 1]?.at ?? job.ended ?? Date.now();
        bar.className = `span ${state}`;
        bar.style.insetInlineStart = part(begun);
        bar.style.inlineSize = `${((end - begun) / (to - from)) * 100}%`;
      });
    });
  }

  // Images.

  /** Shows the images again. */
  show() {
    const found = history.search(this.#query);
    const busy = new Set(jobs.batches.flatMap((batch) => batch.jobs.map(({ imageId }) => imageId)).filter(Boolean));
    const visible = found.filter(({ id }) => !busy.has(id));
    const groups = new Map();
    for (const picture of visible.slice(0, this.#shown)) {
      const name = day(picture.at);
      groups.set(name, [...(groups.get(name) ?? []), picture]);
    }
    const focused = active()?.closest?.(".picture")?.getAttribute("data-id");
    fill(
      byId("grid"),
      [...groups].map(([name, pictures]) =>
        h(
          "section",
          { class: "day" },
          h("h3", {}, name),
          h(
            "ul",
            { class: "sheet" },
            pictures.map((picture) => this.#tile(picture)),
          ),
        ),
      ),
    );
    if (focused)
      allOf(`[data-id="${CSS.escape(focused)}"]`, byId("grid"))
        .at(0)
        ?.focus();
    const nothing = visible.length === 0 && jobs.batches.length === 0;
    byId("empty").hidden = !nothing;
    setText(byId("empty-text"), t(this.#query ? "gallery.nothingFound" : "gallery.empty"));
    byId("empty-ideas").hidden = Boolean(this.#query);
    setText(byId("found"), this.#query ? n("gallery.found", visible.length) : n("gallery.count", found.length));
    byId("older").hidden = !(history.remote.state === "ready" && history.remote.hasMore);
    byId("no-remote").hidden = history.remote.state !== "absent";
    byId("gallery-tools").hidden = found.length === 0 && !this.#query;
    if (this.#chosen) {
      this.#chosen = new Set([...this.#chosen].filter((id) => history.find(id)));
      setText(byId("chosen-count"), n("gallery.chosen", this.#chosen.size));
      byId("export").disabled = byId("delete-chosen").disabled = this.#chosen.size === 0;
    }
  }

  #tile(picture) {
    const ratio = picture.width && picture.height ? picture.width / picture.height : ratioOf(picture.recipe);
    const chosen = this.#chosen?.has(picture.id);
    const act = () => {
      if (!this.#chosen) {
        this.#open(this.pictures, picture.id);
        return;
      }
      if (!this.#chosen.delete(picture.id)) this.#chosen.add(picture.id);
      this.show();
    };
    return h(
      "li",
      { class: chosen ? "frame chosen" : "frame", style: { "--ratio": ratio.toFixed(4) } },
      this.#button(picture, act),
    );
  }

  #button(picture, act) {
    const { recipe } = picture;
    const label = t("picture.label", { prompt: recipe.prompt, seed: recipe.seed ?? "–" });
    const pressed = this.#chosen ? { "aria-pressed": String(this.#chosen.has(picture.id)) } : {};
    return h(
      "button",
      { type: "button", class: "picture", data: { id: picture.id }, on: { click: act }, ...pressed },
      h("img", { src: history.thumbUrl(picture), alt: label, loading: "lazy", decoding: "async" }),
      h(
        "span",
        { class: "picture-facts", "aria-hidden": "true" },
        h("span", { class: "picture-prompt" }, recipe.prompt),
        h("span", { class: "picture-seed" }, recipe.seed ?? ""),
      ),
      (recipe.kind === "edit" || picture.remote) &&
        h("span", { class: "badge" }, picture.remote ? t("picture.remote") : t("picture.edit")),
      this.#chosen?.has(picture.id) && h("span", { class: "tick" }, icon("check")),
    );
  }

  /** Arrow keys go from image to image. */
  #arrows(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
    const rows = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const all = allOf(".picture", byId("grid"));
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

  // Choosing several.

  #setChoosing(choosing) {
    this.#chosen = choosing ? new Set() : null;
    byId("choose").setAttribute("aria-pressed", String(choosing));
    byId("chosen-tools").hidden = !choosing;
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

  async #deleteChosen() {
    const chosen = this.#picked();
    if (!confirm(n("gallery.reallyDelete", chosen.length))) return;
    this.#setChoosing(false);
    await history.remove(chosen);
    announce(n("gallery.deleted", chosen.length));
  }
}
