// @ts-check
/**
 * Images on their way: a card for each, batch by batch; and below them, in rows, what ended without an image.
 */

import { ratioOf } from "./capabilities.js";
import { allOf, announce, byId, fill, h, iconButton, setText, textButton, toast } from "./dom.js";
import * as ended from "./ended.js";
import { Tile } from "./grid.js";
import * as history from "./history.js";
import { ago, clock, failureText, n, t } from "./i18n.js";
import * as jobs from "./jobs.js";

const STAGES = ["held", "waiting", "queued", "running", "fetching"];
/** Time for which a batch stays when all its jobs are over, in milliseconds. */
const LINGER = 400;
/** Number of rows that are shown before somebody asks for more. */
const ROWS = 5;

export class Batches {
  #open;
  #cards = new Map();
  #ticking = null;
  #showsAll = false;

  /** @param {{open: (pictures: object[], id: string) => void}} actions */
  constructor({ open }) {
    this.#open = open;
    jobs.changed.on((job) => this.#update(job));
    ended.changed.on(() => this.#showEnded());
    byId("dismiss-all").addEventListener("click", () => this.#dismiss(ended.left()));
    byId("ended-more").addEventListener("click", () => {
      this.#showsAll = true;
      this.#showEnded();
    });
  }

  #update(job) {
    if (job === null) this.#showBatches();
    else this.#showJob(job);
    if (job === null) this.#showEnded();
    if (job?.isOver) {
      this.#showBatches();
      this.#tick();
      const { index, batch, state } = job;
      announce(t(`said.${state}`, { number: index + 1, count: batch.jobs.length }));
      this.#settle(batch);
    }
    const active = jobs.batches.some((batch) => batch.jobs.some((one) => !one.isOver));
    if (active) this.#ticking ??= setInterval(() => this.#tick(), 250);
    else if (this.#ticking) this.#ticking = void clearInterval(this.#ticking);
  }

  /** A batch whose jobs are over goes: its images into the grid, what failed and what was cancelled into rows. */
  #settle(batch) {
    if (!batch.jobs.every((job) => job.isOver)) return;
    setTimeout(() => batch.jobs.every((job) => job.isOver) && jobs.dismiss(batch), LINGER);
    // The server's own record of them: its links, and the ids to delete them by.
    if (history.remote.state === "ready") setTimeout(() => history.ask(), 1000);
  }

  /** Shows everything again, in the words of the chosen language. */
  refresh() {
    this.#cards.clear();
    fill(byId("batches"));
    this.#showBatches();
    this.#showEnded();
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
      allOf(".cancel-all", section)[0].hidden = batch.jobs.every((job) => job.isOver);
    });
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
          new Tile(picture, () =>
            this.#open([...job.batch.jobs].map(({ imageId }) => history.find(imageId)).filter(Boolean), picture.id),
          ).button,
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
      return iconButton("again", t(job.made ? "job.fetchOne" : "job.retryOne", { number: job.index + 1 }), () =>
        this.#retry(job),
      );
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
      const number = (state) => batch.jobs.filter((job) => job.state === state).length;
      const [done, failed, cancelled] = ["succeeded", "failed", "cancelled"].map(number);
      const facts = [t("batch.facts", { done, count: batch.jobs.length })];
      if (failed > 0) facts.push(t("batch.failed", { count: failed }));
      if (cancelled > 0) facts.push(t("batch.cancelled", { count: cancelled }));
      setText(section.querySelector(".batch-facts"), facts.join(", "));
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

  // What ended without an image.

  #showEnded() {
    const left = ended.left();
    const shown = this.#showsAll ? left : left.slice(0, ROWS);
    byId("ended").hidden = left.length === 0;
    setText(byId("ended-count"), n("ended.count", left.length));
    byId("ended-more").hidden = shown.length === left.length;
    setText(byId("ended-more"), t("ended.more", { count: left.length - shown.length }));
    fill(
      byId("ended-list"),
      shown.map((record) => this.#row(record)),
    );
  }

  #row(record) {
    const { recipe, state, error, made } = record;
    const why = state === "cancelled" ? t("state.cancelled") : failureText(error);
    const facts = [recipe.model, recipe.seed, ago((Date.now() - record.ended) / 1000)];
    return h(
      "li",
      { class: "ended-row", data: { state } },
      h("span", { class: "ended-prompt" }, recipe.prompt),
      h("span", { class: "ended-why", title: error?.message || null }, why),
      h("span", { class: "ended-facts" }, facts.filter((fact) => fact !== undefined).join(" · ")),
      textButton("again", t(made ? "ended.fetch" : "job.retryFailed"), () => ended.retry(record), { class: "retry" }),
      iconButton("close", t("job.dismiss"), () => this.#dismiss([record]), { class: "dismiss" }),
    );
  }

  #dismiss(records) {
    const undo = ended.dismiss(records);
    toast(n("ended.dismissed", records.length), { action: { label: t("undo"), run: undo } });
  }
}
