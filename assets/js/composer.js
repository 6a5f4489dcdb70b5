// @ts-check
/**
 * The form: what is to be made. It has the controls that the chosen model has, no other, and yields a recipe.
 */

import { describe, fit, parseSize, sent, sizeFields, tiles } from "./capabilities.js";
import { accept, numberIn, wrong } from "./checks.js";
import { byId, fieldOf, fill, h, icon, setText } from "./dom.js";
import { control, fieldValue, ROLES } from "./fields.js";
import { t } from "./i18n.js";
import { Inputs } from "./inputs.js";
import { options } from "./models.js";
import { keepSetting, setting } from "./store.js";
import { baseOf, distance, tile } from "./tiles.js";

/** The greatest seed that Spaces take. */
const MAX_SEED = 2 ** 31 - 1;
/** The most images of one go. */
const MAX_COUNT = 10;

/** @returns {Iterable<HTMLInputElement>} */
const modeRadios = () => byId("composer").querySelectorAll('input[name="mode"]');

/** A seed by chance. */
export const randomSeed = () => crypto.getRandomValues(new Uint32Array(1))[0] & MAX_SEED;

export class Composer {
  #models = [];
  /** Answers of `GET /v1/models/{id}`, by model. */
  #details = new Map();
  #shown = null;
  #draft;
  #onSubmit;
  #onModel;

  /**
   * @param {{onSubmit: (order: object) => void, onModel: (id: string) => void}} listeners
   */
  constructor({ onSubmit, onModel }) {
    this.#onSubmit = onSubmit;
    this.#onModel = onModel;
    this.#draft = {
      mode: "generation",
      values: {},
      seed: randomSeed(),
      locked: false,
      count: 1,
      format: "",
      background: {},
      ...setting("draft", {}),
    };
    this.inputs = new Inputs(byId("inputs"), () => this.#refresh());
    this.#wire();
  }

  #wire() {
    const form = byId("composer");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    const prompt = byId("prompt");
    prompt.value = this.#draft.prompt ?? "";
    prompt.addEventListener("input", () => {
      this.#keep({ prompt: prompt.value });
      prompt.removeAttribute("aria-invalid");
      this.#grow();
    });
    const negative = byId("negative");
    negative.value = this.#draft.negative ?? "";
    negative.addEventListener("input", () => this.#keep({ negative: negative.value }));
    byId("model").addEventListener("change", (event) => this.choose(fieldOf(event).value));
    for (const radio of modeRadios()) radio.addEventListener("change", () => this.setMode(radio.value));
    byId("seed").addEventListener("input", () => {
      const seed = numberIn(byId("seed"), byId("seed-note"), { minimum: 0, maximum: MAX_SEED, whole: true });
      // No seed is a new one each time.
      if (seed === undefined) this.#keep({ locked: false });
      else if (seed !== null) this.#keep({ seed, locked: true });
      this.#showSeed();
    });
    byId("dice").addEventListener("click", () => {
      this.#keep({ seed: randomSeed() });
      this.#showSeed(true);
    });
    byId("lock").addEventListener("click", () => {
      this.#keep({ locked: !this.#draft.locked });
      this.#showSeed();
    });
    byId("fewer").addEventListener("click", () => this.#setCount(this.#draft.count - 1));
    byId("more").addEventListener("click", () => this.#setCount(this.#draft.count + 1));
    byId("count").addEventListener("change", () => {
      const count = numberIn(byId("count"), byId("count-note"), { minimum: 1, maximum: MAX_COUNT, whole: true });
      if (count !== null) this.#setCount(count ?? 1);
    });
    // The second click of a double click would spend as much again.
    byId("make").addEventListener("click", (event) => event.detail > 1 && event.preventDefault());
    byId("format").addEventListener("change", (event) => this.#keep({ format: fieldOf(event).value }));
    byId("background").addEventListener("change", (event) => {
      const which = this.#shown?.partial ? "partial" : "plain";
      this.#keep({ background: { ...this.#draft.background, [which]: fieldOf(event).checked } });
      this.#showBackground();
    });
    byId("format").value = this.#draft.format;
    this.#showSeed(true);
    this.#setCount(this.#draft.count);
    this.#grow();
  }

  #keep(change) {
    Object.assign(this.#draft, change);
    keepSetting("draft", this.#draft);
  }

  #grow() {
    const prompt = byId("prompt");
    prompt.style.height = "auto";
    prompt.style.height = `${Math.min(360, prompt.scrollHeight + 2)}px`;
  }

  get model() {
    return this.#draft.model;
  }

  /** The text of the prompt. */
  get prompt() {
    return byId("prompt").value;
  }

  set prompt(text) {
    byId("prompt").value = text;
    byId("prompt").removeAttribute("aria-invalid");
    this.#keep({ prompt: text });
    this.#grow();
  }

  /**
   * Takes the models that there are; presets stand below the others.
   * @param {Array<{id: string, preset_of?: string}>} models
   */
  setModels(models) {
    const ids = models.map(({ id }) => id);
    this.#models = ids;
    this.#details.clear();
    fill(byId("model"), options(models));
    byId("model").disabled = ids.length === 0;
    if (ids.length > 0) this.choose(ids.includes(this.#draft.model) ? this.#draft.model : ids[0]);
  }

  /** Chooses a model. Its details come by `setDetails`. */
  choose(id) {
    byId("model").value = id;
    this.#keep({ model: id });
    this.#refresh();
    this.#onModel(id);
  }

  /** Takes a model's details. */
  setDetails(id, details) {
    this.#details.set(id, details);
    if (id === this.#draft.model) this.#refresh();
  }

  setMode(mode) {
    this.#keep({ mode });
    this.#refresh();
  }

  /** True where the chosen model edits, as far as is known. */
  get edits() {
    return Boolean(this.#shown?.modes.edit);
  }

  /** Shows the controls of the chosen model, in the words of the chosen language. */
  refresh() {
    this.#refresh();
  }

  #refresh() {
    const details = this.#details.get(this.#draft.model);
    if (!details) {
      byId("controls").setAttribute("aria-busy", "true");
      return;
    }
    byId("controls").removeAttribute("aria-busy");
    byId("controls").classList.remove("fresh");
    const { modes } = describe(details, "generation");
    const mode = modes[this.#draft.mode] ? this.#draft.mode : modes.generation ? "generation" : "edit";
    this.mode = mode;
    this.#shown = describe(details, mode);
    byId("modes").hidden = !(modes.generation && modes.edit);
    for (const radio of modeRadios()) radio.checked = radio.value === mode;
    byId("input-section").hidden = mode !== "edit";
    this.inputs.limits(this.#shown.images || 1, this.#shown.mask);
    byId("negative-section").hidden = !this.#shown.negative;
    byId("negative").placeholder = this.#shown.negative?.initial || t("negative.hint");
    byId("seed-section").hidden = !this.#shown.seed;
    byId("prompt").placeholder = t(mode === "edit" ? "prompt.edit" : "prompt.hint");
    setText(byId("unknown"), this.#shown.known ? "" : t("capabilities.unknown"));
    this.#showSize();
    this.#showFields();
    this.#showBackground();
    this.#showButton();
  }

  #showButton() {
    const { count } = this.#draft;
    setText(byId("make-label"), t(this.mode === "edit" ? "make.edit" : "make.generate", { count }));
  }

  #setCount(wanted) {
    const count = Math.min(MAX_COUNT, Math.max(1, Math.trunc(wanted) || 1));
    this.#keep({ count });
    byId("count").value = String(count);
    accept(byId("count"), byId("count-note"));
    byId("fewer").disabled = count === 1;
    byId("more").disabled = count === MAX_COUNT;
    this.#showButton();
  }

  #showSeed(write = false) {
    const { seed, locked } = this.#draft;
    if (write) {
      byId("seed").value = seed;
      accept(byId("seed"), byId("seed-note"));
    }
    byId("lock").setAttribute("aria-pressed", String(locked));
    byId("lock").replaceChildren(icon(locked ? "locked" : "unlocked"));
    byId("seed-section").classList.toggle("loose", !locked);
  }

  #showBackground() {
    const can = this.tasks === true;
    byId("background-section").hidden = !can;
    byId("background").checked = this.background;
    setText(
      byId("background-hint"),
      this.#shown?.partial ? t(this.background ? "background.noPartial" : "background.partial") : t("background.hint"),
    );
  }

  /** Notes whether the server has tasks. */
  setTasks(tasks) {
    this.tasks = tasks;
    this.#showBackground();
  }

  /**
   * True where jobs are to outlive the page: as the switch stands for models that show images in the making, and for
   * the others.
   */
  get background() {
    if (!this.tasks) return false;
    return this.#shown?.partial ? (this.#draft.background.partial ?? false) : (this.#draft.background.plain ?? true);
  }

  // Sizes.

  #showSize() {
    const { sizing } = this.#shown;
    byId("size-section").hidden = !sizing;
    if (!sizing) return;
    if (sizing.kind === "choices") this.#showChoices(sizing);
    else this.#showSides(sizing);
  }

  #showChoices(sizing) {
    const chosen = sizing.options.some(({ label }) => label === this.#draft.choice)
      ? this.#draft.choice
      : sizing.initial;
    byId("bases").hidden = true;
    byId("sides").hidden = true;
    this.choice = chosen;
    const items = sizing.options.map((option) => {
      const [w, hgt] = option.width ? [option.width, option.height] : (option.ratio ?? [1, 1]);
      const name = option.width ? `${option.width} × ${option.height}` : option.label;
      const ratio = /\d+\s*[:：]\s*\d+/.exec(option.label)?.[0].replaceAll(" ", "");
      return tile({
        name: option.width && ratio ? ratio : name,
        detail: option.width && ratio ? `${option.width}×${option.height}` : "",
        value: option.label,
        ratio: w / hgt,
        checked: option.label === chosen,
      });
    });
    fill(byId("tiles"), items);
    byId("tiles").onchange = (event) => {
      this.choice = fieldOf(event).value;
      this.#keep({ choice: this.choice });
    };
  }

  #showSides(sizing) {
    const { width, height } = sizing;
    const kept = this.#draft.sides ?? sizing.initial;
    const size = fit(kept.width, kept.height, width, height);
    const base = baseOf(sizing, size, this.#draft.base);
    this.sides = size;
    byId("bases").hidden = sizing.bases.length < 2;
    byId("sides").hidden = false;
    fill(
      byId("base-list"),
      sizing.bases.map((side) =>
        h(
          "label",
          { class: "segment" },
          h("input", { type: "radio", name: "base", value: side, checked: side === base }),
          h("span", {}, String(side)),
        ),
      ),
    );
    const set = (next, keepBase = {}) => {
      this.sides = fit(next.width, next.height, width, height);
      this.#keep({ sides: this.sides, ...keepBase });
      this.#markSides();
    };
    byId("base-list").onchange = (event) => {
      const next = Number(fieldOf(event).value);
      const old = this.sides;
      const chosen = tiles(sizing, next).reduce((best, one) => (distance(one, old) < distance(best, old) ? one : best));
      this.#keep({ base: next });
      this.#fillTiles(sizing, next);
      set(chosen);
    };
    byId("tiles").onchange = (event) => set(parseSize(fieldOf(event).value));
    for (const [id, side] of /** @type {Array<["width"|"height", any]>} */ ([
      ["width", width],
      ["height", height],
    ])) {
      Object.assign(byId(id), { min: side.minimum, max: side.maximum, step: side.step });
      byId(id).onchange = () => {
        const value = numberIn(byId(id), byId("size-note"), side);
        if (value === null) return;
        set({ ...this.sides, [id]: value ?? side.initial });
        const made = this.sides[id];
        if (value !== undefined && value !== made)
          accept(byId(id), byId("size-note"), t("size.rounded", { value, made, step: side.step }));
      };
    }
    byId("swap").onclick = () => set({ width: this.sides.height, height: this.sides.width });
    this.#fillTiles(sizing, base);
    this.#markSides();
  }

  #fillTiles(sizing, base) {
    fill(
      byId("tiles"),
      tiles(sizing, base).map(({ name, width, height }) =>
        tile({ name, detail: `${width}×${height}`, value: `${width}x${height}`, ratio: width / height }),
      ),
    );
  }

  #markSides() {
    const { width, height } = this.sides;
    byId("width").value = String(width);
    byId("height").value = String(height);
    for (const id of ["width", "height"]) accept(byId(id), byId("size-note"));
    for (const radio of byId("tiles").querySelectorAll("input")) radio.checked = radio.value === `${width}x${height}`;
  }

  // The Space's own parameters.

  #showFields() {
    const main = this.#shown.fields
      .filter(({ role }) => role !== null)
      .sort((a, b) => ROLES.indexOf(a.role) - ROLES.indexOf(b.role));
    const own = this.#shown.fields.filter(({ role }) => role === null);
    fill(
      byId("fields"),
      main.map((field) => this.#field(field)),
    );
    fill(
      byId("own-fields"),
      own.map((field) => this.#field(field)),
    );
    byId("own-section").hidden = own.length === 0;
  }

  #value(field) {
    return fieldValue(field, this.#draft.values[field.name]);
  }

  #set(field, value) {
    const values = { ...this.#draft.values, [field.name]: value };
    if (value === undefined) delete values[field.name];
    this.#keep({ values });
  }

  #field(field) {
    return control(field, this.#value(field), (value) => this.#set(field, value));
  }

  // What comes out of it.

  /** The order, or what is missing for one, which is then pointed at. */
  order() {
    const prompt = this.prompt.trim();
    if (prompt === "") {
      byId("prompt").setAttribute("aria-invalid", "true");
      byId("prompt").focus();
      return { problem: t("prompt.missing") };
    }
    if (!this.#shown) return { problem: t("model.none") };
    const field = wrong(byId("controls"));
    if (field) {
      field.focus();
      return { problem: t("number.wrong") };
    }
    if (this.mode === "edit" && this.inputs.images.length === 0) {
      byId("add-input").focus();
      return { problem: t("inputs.missing") };
    }
    if (this.#shown.seed && !this.#draft.locked) {
      this.#keep({ seed: randomSeed() });
      this.#showSeed(true);
    }
    const recipe = { kind: this.mode, model: this.#draft.model, prompt, extras: {} };
    const negative = byId("negative").value.trim();
    if (this.#shown.negative && negative) recipe.negative_prompt = negative;
    this.#addSize(recipe);
    if (this.#shown.seed) recipe.seed = this.#draft.seed;
    for (const field of this.#shown.fields) {
      const value = sent(field, this.#value(field));
      if (
        value === undefined ||
        value === null ||
        (field.role === null && this.#draft.values[field.name] === undefined)
      )
        continue;
      if (["steps", "guidance_scale", "sampler", "strength"].includes(field.name)) recipe[field.name] = value;
      else recipe.extras[field.name] = value;
    }
    if (this.#draft.format) recipe.output_format = this.#draft.format;
    const edits = this.mode === "edit";
    return {
      recipe,
      count: this.#draft.count,
      way: this.background ? "task" : "stream",
      partial: this.#shown.partial,
      images: edits ? this.inputs.images.map(({ blob }) => blob) : [],
      mask: edits && this.#shown.mask ? this.inputs.mask : null,
    };
  }

  #addSize(recipe) {
    const { sizing } = this.#shown;
    if (sizing?.kind === "sides") recipe.size = `${this.sides.width}x${this.sides.height}`;
    if (sizing?.kind !== "choices") return;
    const fields = sizeFields(sizing, sizing.options.find(({ label }) => label === this.choice) ?? {});
    for (const [name, value] of Object.entries(fields)) {
      if (name === "size" || name === "aspect_ratio") recipe[name] = value;
      else recipe.extras[name] = value;
    }
  }

  submit() {
    const order = this.order();
    this.#onSubmit(order);
  }

  /** Fills the form with a recipe's values. */
  apply(recipe, { withSeed = true } = {}) {
    const change = { values: { ...this.#draft.values, ...recipe.extras } };
    for (const name of ["steps", "guidance_scale", "sampler", "strength"]) {
      if (recipe[name] !== undefined) change.values[name] = recipe[name];
      else delete change.values[name];
    }
    const size = parseSize(recipe.size);
    if (size) {
      change.sides = size;
    }
    if (withSeed && Number.isInteger(recipe.seed)) Object.assign(change, { seed: recipe.seed, locked: true });
    change.format = recipe.output_format ?? this.#draft.format;
    change.mode = recipe.kind ?? this.#draft.mode;
    byId("negative").value = recipe.negative_prompt ?? "";
    change.negative = byId("negative").value;
    this.#keep(change);
    byId("format").value = change.format;
    this.prompt = recipe.prompt ?? "";
    this.#showSeed(true);
    const label = this.#details
      .get(recipe.model ?? this.#draft.model)
      ?.capabilities?.sizes?.find((one) =>
        recipe.size
          ? one.replace(/[×*]/g, "x").startsWith(recipe.size)
          : recipe.aspect_ratio && one.includes(recipe.aspect_ratio),
      );
    if (label) this.#keep({ choice: label });
    if (recipe.model && this.#models.includes(recipe.model) && recipe.model !== this.#draft.model)
      this.choose(recipe.model);
    else this.#refresh();
  }
}
