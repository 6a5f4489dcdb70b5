// @ts-check
/**
 * Controls of a model's own parameters: one for each field that `capabilities.js` describes.
 */

import { numberIn } from "./checks.js";
import { h } from "./dom.js";
import { t } from "./i18n.js";

/** The order of the parameters that every image model knows. */
export const ROLES = ["strength", "steps", "guidance", "sampler"];

/** A field's value: the one that was kept, as far as the field takes it, else its initial one. */
export function fieldValue(field, kept) {
  if (kept === undefined) return field.initial;
  switch (field.control) {
    case "range":
      return Math.min(field.maximum, Math.max(field.minimum, Number(kept)));
    case "number":
      return Number(kept);
    case "choice":
      return field.choices.includes(kept) ? kept : field.initial;
    case "choices":
      return Array.isArray(kept) ? kept.filter((one) => field.choices.includes(one)) : field.initial;
    case "flag":
      return Boolean(kept);
    default:
      return String(kept);
  }
}

/** The control of a field. `set` is called with each value that is chosen; `undefined` is the Space's own. */
export function control(field, value, set) {
  const id = `field-${field.name.replace(/[^\w-]/g, "_")}`;
  const known = ROLES.includes(field.role);
  const label = known ? t(`field.${field.role}`) : field.label;
  const note = h("p", { class: "note", id: `${id}-note`, role: "status" });
  const head = (...rest) => h("div", { class: "field-head" }, h("label", { for: id }, label), ...rest);
  switch (field.control) {
    case "range": {
      const number = h("input", {
        type: "number",
        class: "readout",
        "aria-label": label,
        min: field.minimum,
        max: field.maximum,
        step: field.step ?? "any",
        value: value ?? "",
        placeholder: t("auto"),
        "aria-describedby": `${id}-note`,
      });
      const range = h("input", {
        type: "range",
        id,
        min: field.minimum,
        max: field.maximum,
        step: field.step ?? "any",
      });
      const show = (next) => {
        range.value = next ?? (field.minimum + field.maximum) / 2;
        const part = (Number(range.value) - field.minimum) / (field.maximum - field.minimum || 1);
        range.style.setProperty("--part", `${part * 100}%`);
      };
      show(value);
      range.addEventListener("input", () => {
        number.value = range.value;
        numberIn(number, note, field);
        set(Number(range.value));
        show(Number(range.value));
      });
      number.addEventListener("change", () => {
        const next = numberIn(number, note, field);
        if (next === null) return;
        set(next);
        number.value = next ?? field.initial ?? "";
        show(next ?? field.initial);
      });
      return h("div", { class: "field" }, head(number), range, note);
    }
    case "number": {
      const input = h("input", {
        type: "number",
        id,
        step: field.step ?? "any",
        min: field.minimum,
        max: field.maximum,
        value: value ?? "",
      });
      input.addEventListener("change", () => {
        const next = numberIn(input, note, field);
        if (next !== null) set(next);
      });
      return h("div", { class: "field" }, head(), input, note);
    }
    case "choice": {
      const select = h(
        "select",
        { id },
        field.choices.map((choice) => h("option", { value: choice, selected: choice === value }, choice)),
      );
      select.addEventListener("change", () => set(select.value));
      return h("div", { class: "field" }, head(), select);
    }
    case "choices": {
      const boxes = field.choices.map((choice) =>
        h(
          "label",
          { class: "check" },
          h("input", { type: "checkbox", value: choice, checked: value.includes(choice) }),
          h("span", {}, choice),
        ),
      );
      const group = h("fieldset", { class: "field" }, h("legend", {}, label), boxes);
      group.addEventListener("change", () =>
        set(
          boxes
            .map((box) => box.querySelector("input"))
            .filter(({ checked }) => checked)
            .map(({ value }) => value),
        ),
      );
      return group;
    }
    case "flag": {
      const box = h("input", { type: "checkbox", id, role: "switch", checked: value });
      box.addEventListener("change", () => set(box.checked));
      return h("div", { class: "field flag" }, h("label", { for: id }, label), box);
    }
    default: {
      const input = h("input", { type: "text", id, value });
      input.addEventListener("input", () => set(input.value));
      return h("div", { class: "field" }, head(), input);
    }
  }
}
