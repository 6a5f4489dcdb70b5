// @ts-check
/**
 * Capabilities of a model, as controls need them. The server reads it from the model's Space (`GET /v1/models/{id}`):
 * which parameters there are, in which range, on which steps, with which choices. A control is shown for each, and for
 * nothing else.
 */

/** The shapes that are offered where any size can be had, as width to height. */
const RATIOS = [
  [1, 1],
  [4, 3],
  [3, 4],
  [3, 2],
  [2, 3],
  [16, 9],
  [9, 16],
  [21, 9],
];
/** The sides of a square that are offered, in pixels. */
const BASES = [512, 768, 1024, 1280, 1536, 2048];
/** Roles with a control of their own, or none. */
const SPECIAL = new Set([
  "prompt",
  "negative_prompt",
  "width",
  "height",
  "size",
  "seed",
  "randomize_seed",
  "count",
  "image",
  "mask",
  "format",
]);
/** The most images that the API takes to start from. */
const MAX_IMAGES = 16;

/** Fields to try where nothing is known of a Space: the server refuses none of them, and the Space decides. */
const UNKNOWN = {
  generations: true,
  edits: false,
  partial_images: false,
  parameters: [
    { name: "width", role: "width", type: "number", default: 1024, minimum: 256, maximum: 2048, step: 64 },
    { name: "height", role: "height", type: "number", default: 1024, minimum: 256, maximum: 2048, step: 64 },
    { name: "seed", role: "seed", type: "number", default: 0 },
  ],
  sizes: [],
};

/**
 * @typedef {object} Field a parameter with a control
 * @property {string} name the request's field
 * @property {string} label the Space's own words
 * @property {string|null} role
 * @property {"range"|"number"|"choice"|"choices"|"flag"|"text"} control
 * @property {*} initial
 * @property {number} [minimum]
 * @property {number} [maximum]
 * @property {number} [step]
 * @property {string[]} [choices]
 */

/**
 * Controls of a model in one mode, `generation` or `edit`.
 * @param {{capabilities?: any, defaults?: any}} details the answer of `GET /v1/models/{id}`
 * @param {"generation"|"edit"} mode
 */
export function describe(details, mode) {
  const known = details?.capabilities ?? null;
  const capabilities = known ?? UNKNOWN;
  const parameters = (mode === "edit" && capabilities.edit_parameters) || capabilities.parameters;
  const defaults = details?.defaults ?? {};
  const of = (role) => parameters.find((parameter) => parameter.role === role);
  const generates = capabilities.generations ?? !of("image");
  const pictures = parameters.filter((parameter) => parameter.role === "image");
  const negative = of("negative_prompt");
  return {
    known: known !== null,
    modes: { generation: generates || !capabilities.edits, edit: Boolean(capabilities.edits) },
    negative: negative ? { initial: defaults.negative_prompt ?? text(negative.default) } : null,
    sizing: sizing(of("width"), of("height"), of("size"), defaults.size),
    seed: Boolean(of("seed")),
    images: pictures.some((parameter) => parameter.type === "gallery") ? MAX_IMAGES : pictures.length,
    mask: Boolean(of("mask")),
    partial: Boolean(capabilities.partial_images),
    fields: parameters
      .filter((parameter) => !SPECIAL.has(parameter.role))
      .map((parameter) => field(parameter, defaults))
      .filter(Boolean),
  };
}

/** The request's fields that mean a role, where the parameter is called something else. */
const FIELD_OF_ROLE = { steps: "steps", guidance: "guidance_scale", sampler: "sampler", strength: "strength" };

/** @returns {Field|null} */
function field(parameter, defaults) {
  const { role, type, minimum, maximum, step, choices = [] } = parameter;
  const name = FIELD_OF_ROLE[role] ?? parameter.name;
  const field = {
    name,
    label: parameter.label || parameter.name,
    role: role ?? null,
    initial: defaults[name] ?? parameter.default,
  };
  switch (type) {
    case "number": {
      const bounded = Number.isFinite(minimum) && Number.isFinite(maximum);
      // A quality of the model's own decides how many steps, unless somebody does.
      if (role === "steps" && defaults.quality && defaults.steps === undefined) field.initial = null;
      return {
        ...field,
        control: bounded ? "range" : "number",
        minimum,
        maximum,
        step: step ?? (bounded && maximum - minimum <= 2 ? 0.01 : undefined),
      };
    }
    case "choice":
      return choices.length > 0
        ? { ...field, control: "choice", choices, initial: chosen(choices, field.initial) }
        : null;
    case "choices":
      return choices.length > 0
        ? {
            ...field,
            control: "choices",
            choices,
            initial: Array.isArray(field.initial) ? field.initial.map(String) : [],
          }
        : null;
    case "flag":
      return { ...field, control: "flag", initial: Boolean(field.initial) };
    case "text":
      return { ...field, control: "text", initial: text(field.initial) };
    default:
      return null;
  }
}

const text = (value) => (typeof value === "string" ? value : "");

/** The choice that a default means: Gradio has values, the server labels. */
function chosen(choices, value) {
  const wanted = String(value ?? "").toLowerCase();
  return choices.find((choice) => choice.toLowerCase() === wanted) ?? choices[0];
}

/**
 * The value that a field sends.
 * @param {Field} field
 */
export function sent(field, value) {
  // "4-Step": the server takes a number for it, and finds the nearest choice.
  if (field.role === "steps" && field.control === "choice") return Number(/\d+/.exec(value)?.[0] ?? 0) || undefined;
  return value;
}

/** The way sizes are chosen: freely on two sliders' steps, from a list, or not at all. */
function sizing(width, height, size, preset) {
  if (width && height && width.type === "number" && height.type === "number") {
    const side = (parameter) => ({
      minimum: parameter.minimum ?? 256,
      maximum: parameter.maximum ?? 2048,
      step: parameter.step || 64,
      initial: Number(parameter.default) || 1024,
    });
    const sides = { kind: "sides", width: side(width), height: side(height) };
    const initial = parseSize(preset) ?? { width: sides.width.initial, height: sides.height.initial };
    const within = (base) =>
      [sides.width, sides.height].every(({ minimum, maximum }) => base >= minimum && base <= maximum);
    const usual = BASES.filter(within);
    const own = Math.round(Math.sqrt(initial.width * initial.height));
    const near = usual.find((base) => Math.abs(base - own) / own < 0.12);
    const bases = near ? usual : [...usual, own].sort((a, b) => a - b);
    return { ...sides, initial, bases, base: near ?? own };
  }
  if (size?.choices?.length > 0) {
    const options = size.choices.map((label) => ({ label, ...shape(label) }));
    const wanted = parseSize(preset);
    const initial =
      (wanted && options.find((option) => option.width === wanted.width && option.height === wanted.height)?.label) ??
      chosen(size.choices, size.default);
    return { kind: "choices", name: size.label || size.name, options, initial };
  }
  return null;
}

/** `1024x768` */
export function parseSize(text) {
  const found = /^\s*(\d+)\s*[x×*]\s*(\d+)/i.exec(text ?? "");
  return found ? { width: Number(found[1]), height: Number(found[2]) } : null;
}

/** The shape that a choice's label names: `1248x832 ( 3:2 )`, `16:9`, or nothing. */
export function shape(label) {
  const size = /(\d{2,5})\s*[x×*]\s*(\d{2,5})/i.exec(label);
  if (size) return { width: Number(size[1]), height: Number(size[2]) };
  const ratio = /(\d{1,2}(?:\.\d+)?)\s*[:：/]\s*(\d{1,2}(?:\.\d+)?)/.exec(label);
  return ratio ? { ratio: [Number(ratio[1]), Number(ratio[2])] } : {};
}

/**
 * The tiles for a base: shapes of about as many pixels as a square of that side has, on the sliders' steps.
 * @returns {Array<{name: string, width: number, height: number}>}
 */
export function tiles({ width, height }, base) {
  const made = RATIOS.map(([w, h]) => {
    const long = Math.sqrt((base * base * w) / h);
    return { name: `${w}:${h}`, ...fit(long, (base * base) / long, width, height) };
  });
  // In a narrow range several shapes come to one size.
  return made.filter(
    (tile, at) => made.findIndex((other) => other.width === tile.width && other.height === tile.height) === at,
  );
}

/** A size in the sliders' ranges and on their steps; where a side is too long, both shrink. */
export function fit(wide, high, width, height) {
  const shrink = Math.min(1, width.maximum / wide, height.maximum / high);
  const scale = shrink < 1 ? shrink : Math.max(1, width.minimum / wide, height.minimum / high);
  const snap = (value, { minimum, maximum, step }) => {
    const snapped = minimum + Math.round((value - minimum) / step) * step;
    return Math.max(minimum, snapped > maximum ? snapped - step : snapped);
  };
  return { width: snap(wide * scale, width), height: snap(high * scale, height) };
}

/** The fields that ask for a choice's size. */
export function sizeFields(sizing, option) {
  if (option.width) return { size: `${option.width}x${option.height}` };
  if (option.ratio && option.ratio[0] / option.ratio[1] <= 8 && option.ratio[1] / option.ratio[0] <= 8) {
    return { aspect_ratio: option.ratio.join(":") };
  }
  return { [sizing.name]: option.label };
}

/** Width to height of a request's image, as far as its fields say. */
export function ratioOf(recipe) {
  const size = parseSize(recipe.size);
  if (size) return size.width / size.height;
  const found = /^([\d.]+):([\d.]+)$/.exec(recipe.aspect_ratio ?? "");
  return found ? Number(found[1]) / Number(found[2]) : 1;
}
