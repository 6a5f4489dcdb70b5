// @ts-check
/**
 * The log panel: every request of this page with its events, and each as a program to copy.
 */

import { calls } from "./api.js";
import { active, allOf, byId, copyText, h, setText, textButton, toast } from "./dom.js";
import { t, timeOfDay } from "./i18n.js";
import { LANGUAGES, snippet } from "./snippets.js";

/** Number of requests that are remembered. */
const MOST = 300;

export class Log {
  #records = [];
  #visible = false;
  #due = false;
  #open = new Set();

  constructor() {
    calls.on((record) => {
      if (!this.#records.includes(record)) this.#records.unshift(record);
      this.#records.length = Math.min(this.#records.length, MOST);
      this.#later();
    });
    byId("log-all").addEventListener("change", () => this.#show());
    byId("log-clear").addEventListener("click", () => {
      this.#records = [];
      this.#show();
    });
  }

  look(visible) {
    this.#visible = visible;
    if (visible) this.#show();
  }

  /** Events come by the dozen: the list is drawn a few times a second at most. */
  #later() {
    if (this.#due || !this.#visible) return;
    this.#due = true;
    setTimeout(() => {
      this.#due = false;
      if (this.#visible) this.#show();
    }, 250);
  }

  #show() {
    const records = this.#records.filter(({ background }) => byId("log-all").checked || !background);
    setText(byId("log-note"), records.length === 0 ? t("log.empty") : "");
    const list = byId("log-list");
    // What has the focus stays: only items that have changed are made anew.
    const items = new Map(allOf("#log-list > *").map((item) => [Number(item.dataset.id), item]));
    records.forEach((record, at) => {
      const { status = "", error = "", ms = "", events } = record;
      const version = `${status}${error}${ms}${events.length}${document.documentElement.lang}`;
      let item = items.get(record.id);
      if (!item || item.dataset.version !== version) {
        const focused = item?.contains(active()) && active().dataset.part;
        const fresh = this.#item(record, version);
        item?.replaceWith(fresh);
        item = fresh;
        if (focused) allOf(`[data-part="${focused}"]`, fresh).at(0)?.focus();
      }
      items.delete(record.id);
      if (list.children[at] !== item) list.insertBefore(item, list.children[at] ?? null);
    });
    items.forEach((item) => item.remove());
  }

  #item(record, version) {
    const { id, at, method, path, status, ms, error, events, requestId } = record;
    const pending = status === undefined && error === undefined;
    const details = h(
      "details",
      { on: { toggle: (event) => this.#toggle(record, event.currentTarget) } },
      h(
        "summary",
        { data: { part: "summary" } },
        h("time", {}, timeOfDay(at)),
        h(
          "span",
          { class: `status ${pending ? "" : error || status >= 400 ? "ill" : "well"}` },
          pending ? "…" : String(status ?? t(error === "cancelled" ? "log.cancelled" : "log.offline")),
        ),
        h("span", { class: "call" }, h("b", {}, method), ` ${path}`),
        h("span", { class: "took" }, ms === undefined ? "" : `${Math.round(ms)} ms`),
        events.length > 0 && h("span", { class: "took" }, t("log.events", { count: events.length })),
      ),
      requestId && h("p", { class: "muted" }, `x-request-id: ${requestId}`),
    );
    if (this.#open.has(id)) {
      details.open = true;
      this.#fillDetails(record, details);
    }
    return h("li", { data: { id, version } }, details);
  }

  #toggle(record, details) {
    if (details.open) {
      this.#open.add(record.id);
      if (!details.querySelector(".log-body")) this.#fillDetails(record, details);
    } else {
      this.#open.delete(record.id);
    }
  }

  #fillDetails(record, details) {
    const { json, form, events, error } = record;
    const sent = json
      ? JSON.stringify(json, null, 2)
      : form
        ? form.map(([name, value]) => `${name}: ${value}`).join("\n")
        : "";
    const copy = async (language) => {
      const done = await copyText(snippet(language, record, location.origin));
      toast(t(done ? "copied" : "copyFailed"), { failed: !done });
    };
    details.append(
      h(
        "div",
        { class: "log-body" },
        h(
          "div",
          { class: "copy-as", role: "group", "aria-label": t("copyAs") },
          h("span", { "aria-hidden": "true" }, t("copyAs")),
          LANGUAGES.map((language) => textButton(null, language, () => copy(language), { "data-part": language })),
        ),
        error && h("p", { class: "space-error" }, error),
        sent && h("pre", { tabindex: "0", role: "region", "aria-label": t("log.sent") }, sent),
        events.length > 0 &&
          h(
            "pre",
            { tabindex: "0", role: "region", "aria-label": t("log.eventList") },
            events
              .map(({ at, name, text }) => `${(at / 1000).toFixed(2).padStart(7)} s  ${name}\n           ${text}`)
              .join("\n"),
          ),
      ),
    );
  }
}
