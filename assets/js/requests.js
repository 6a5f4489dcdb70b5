// @ts-check
/**
 * Requests for images: a recipe as the API takes it.
 */

import { send } from "./api.js";

/** The most streams at once: a browser opens six connections to a server. */
const STREAMS = 4;

/**
 * @typedef {object} Recipe what an image is made from
 * @property {"generation"|"edit"} kind
 * @property {string} model
 * @property {string} prompt
 * @property {string} [negative_prompt]
 * @property {string} [size]
 * @property {string} [aspect_ratio]
 * @property {number} [steps]
 * @property {number} [guidance_scale]
 * @property {string} [sampler]
 * @property {number} [strength]
 * @property {number} [seed]
 * @property {string} [output_format]
 * @property {object} extras parameters of the Space's own
 */

/**
 * A recipe as the body of a request for one image.
 * @param {Recipe} recipe
 * @returns {object}
 */
export function body(recipe, more = {}) {
  const { kind, extras, ...fields } = recipe;
  return { ...fields, ...extras, n: 1, ...more };
}

/** Sends a job's request, as JSON or as a form. */
export function request(job, more, headers = {}) {
  const { recipe, stop, batch } = job;
  const options = { headers, signal: stop.signal };
  if (recipe.kind === "generation")
    return send("POST", "/v1/images/generations", { ...options, json: body(recipe, more) });
  const form = new FormData();
  for (const [name, value] of Object.entries(body(recipe, more))) {
    form.append(name, typeof value === "object" ? JSON.stringify(value) : String(value));
  }
  batch.images.forEach((image, index) =>
    form.append(batch.images.length > 1 ? "image[]" : "image", image, `image-${index + 1}.${extension(image.type)}`),
  );
  if (batch.mask) form.append("mask", batch.mask, "mask.png");
  return send("POST", "/v1/images/edits", { ...options, form });
}

/** The usual ending of a file of that type. */
export const extension = (type) =>
  ({ "image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif", "image/avif": "avif" })[type] ??
  "png";

let running = 0;
const line = [];

/** Lets so many streams run at once; the others wait in order. */
export async function turns(work) {
  if (running >= STREAMS) await new Promise((resolve) => line.push(resolve));
  running++;
  try {
    return await work();
  } finally {
    running--;
    line.shift()?.();
  }
}
