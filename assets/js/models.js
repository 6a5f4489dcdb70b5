// @ts-check
/**
 * The models to choose from.
 */

import { h } from "./dom.js";
import { t } from "./i18n.js";

/**
 * Options of a list of models: presets stand below the others, with the model that they are of.
 * @param {Array<{id: string, preset_of?: string}>} models
 */
export function options(models) {
  const presets = models.filter(({ preset_of }) => preset_of);
  return [
    models.filter(({ preset_of }) => !preset_of).map(({ id }) => h("option", { value: id }, id)),
    presets.length > 0 &&
      h(
        "optgroup",
        { label: t("model.presets") },
        presets.map(({ id, preset_of }) =>
          h("option", { value: id }, t("model.preset", { name: id, model: preset_of })),
        ),
      ),
  ];
}
