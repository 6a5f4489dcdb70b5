// @ts-check
/**
 * Earlier prompts, and templates: prompts with a place for the subject.
 */

import { byId, fill, h, iconButton, newId, openDialog, setText, toast } from "./dom.js";
import { ago, t } from "./i18n.js";
import * as store from "./store.js";

/** Number of prompts that are remembered. */
const MOST = 300;
/** Placeholder of the subject in a template. */
const PLACE = /\{subject\}|\{主题\}/g;
/** Templates that are there from the beginning; their texts are in the tables of words. */
const BUILT_IN = ["photo", "watercolour", "poster", "ink", "product", "isometric"];

export class Prompts {
  #take;
  #current;

  /** @param {{take: (text: string) => void, current: () => string}} composer */
  constructor({ take, current }) {
    this.#take = take;
    this.#current = current;
    byId("open-prompts").addEventListener("click", () => this.#open());
    byId("prompt-search").addEventListener("input", () => this.#show());
    byId("save-template").addEventListener("click", () => this.#save());
    byId("prompts-close").addEventListener("click", () => byId("prompts").close());
    for (const radio of byId("prompts").querySelectorAll("input[name=prompt-kind]"))
      radio.addEventListener("change", () => this.#show());
  }

  /** Remembers a prompt that was used. */
  async remember(text) {
    const known = await store.all("prompts");
    const same = known.find((prompt) => prompt.text === text);
    await store.put("prompts", { id: same?.id ?? newId(), text, uses: (same?.uses ?? 0) + 1, at: Date.now() });
    const old = known.sort((a, b) => b.at - a.at).slice(MOST);
    if (old.length > 0) await store.remove("prompts", ...old.map(({ id }) => id));
  }

  #open() {
    openDialog(byId("prompts"));
    byId("save-template").disabled = this.#current().trim() === "";
    this.#show();
  }

  async #save() {
    const text = this.#current().trim();
    if (text === "") return;
    await store.put("templates", { id: newId(), text, at: Date.now() });
    byId("kind-templates").checked = true;
    toast(t("prompts.saved"));
    this.#show();
  }

  async #show() {
    const templates = byId("kind-templates").checked;
    const words = byId("prompt-search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const kept = (await store.all(templates ? "templates" : "prompts")).sort((a, b) => b.at - a.at);
    const listed = templates
      ? [
          ...kept,
          ...BUILT_IN.map((name) => ({ id: null, title: t(`template.${name}`), text: t(`template.${name}.text`) })),
        ]
      : kept;
    const found = listed.filter(({ text, title = "" }) =>
      words.every((word) => `${title} ${text}`.toLowerCase().includes(word)),
    );
    setText(
      byId("prompts-note"),
      found.length === 0
        ? t(words.length > 0 ? "gallery.nothingFound" : "prompts.none")
        : templates
          ? t("prompts.templateHint")
          : "",
    );
    fill(
      byId("prompt-list"),
      found.map((prompt) => this.#item(prompt, templates)),
    );
  }

  #item({ id, title, text, at, uses }, isTemplate) {
    const use = () => {
      byId("prompts").close();
      this.#take(isTemplate ? filled(text, this.#current().trim()) : text);
      byId("prompt").focus();
    };
    const gone = async () => {
      await store.remove(isTemplate ? "templates" : "prompts", id);
      this.#show();
    };
    return h(
      "li",
      {},
      h(
        "button",
        { type: "button", class: "prompt-item", on: { click: use } },
        title && h("strong", {}, title),
        h("span", {}, text),
        at && !isTemplate && h("small", {}, `${ago((Date.now() - at) / 1000)}${uses > 1 ? ` · ${uses}×` : ""}`),
      ),
      id && iconButton("trash", t("prompts.forget"), gone),
    );
  }
}

/** A template with its subject. One without a place for it is put behind. */
export function filled(template, subject) {
  if (template.search(PLACE) >= 0) return template.replace(PLACE, () => subject || "…").trim();
  return subject && !template.includes(subject) ? `${subject}, ${template}` : template;
}
